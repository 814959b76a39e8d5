"""What can go wrong, as a tree; the exit code belongs to the class.

TunekitError                    1  the run failed
├── UsageError                  2  the recipe or the command is wrong
│   ├── RecipeError             2  one or more `Problem`s, all reported at once
│   └── UnknownFamily           2  a model whose shape tunekit cannot know
├── DoesNotFit                  3  the plan needs more memory than the hardware has
├── MissingError                4  something needed is missing: model, package, network, GPU
└── RunFailed                   1  the processes ended without the worker's success marker
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from tunekit.secrecy import redact_forms


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """One fault in what the user wrote.

    `where` is `file:line` (or `command line`), `key` the dotted recipe key, `found` what stands there,
    `allowed` what may stand there, `hint` the nearest name or the thing to type.
    """

    key: str
    found: str
    allowed: str = ""
    hint: str = ""
    where: str = ""

    def __str__(self) -> str:
        head = ": ".join(part for part in (self.where, self.key) if part)
        tail = "; ".join(part for part in (self.found, self.allowed, self.hint) if part)
        return f"{head}: {tail}" if head else tail


class TunekitError(Exception):
    """Base of every error tunekit raises on purpose; `str(error)` is written for the user."""

    exit_code = 1

    def __init__(self, message: str = "") -> None:
        # Messages quote what the user typed, and are copied into reports of bugs.
        super().__init__(redact_forms(message))


class UsageError(TunekitError):
    """The command or a file the user named is wrong; nothing was started."""

    exit_code = 2


class RecipeError(UsageError):
    """The recipe is wrong; carries every problem found, in the order of the file."""

    def __init__(self, problems: Sequence[Problem], *, source: str = "the recipe") -> None:
        self.problems = tuple(problems)
        count = len(self.problems)
        lines = [str(problem) for problem in self.problems]
        lines.append(f"{count} problem{'s' if count != 1 else ''} in {source}; nothing was started.")
        super().__init__("\n".join(lines))


class UnknownFamily(UsageError):
    """The model's `model_type` is none that tunekit knows the parameters of."""


class DoesNotFit(TunekitError):
    """The plan was rejected; the plan itself, with its fixes, is in `plan`."""

    exit_code = 3

    def __init__(self, message: str, *, plan: object | None = None) -> None:
        self.plan = plan
        super().__init__(message)


class MissingError(TunekitError):
    """A model, package, device or network that the command needs is not there."""

    exit_code = 4


class RunFailed(TunekitError):
    """The training processes ended without writing their success marker."""
