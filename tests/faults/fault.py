"""`Fault`: something that goes wrong, what the user must see of it, and how it must end."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from tests.faults.scene import Command, Scene

After = Literal["resumes", "starts anew", "is done", "was refused", "stays so"]
"""`resumes`: `tunekit resume` brings the run to the end of the undisturbed one. `starts anew`: there was no checkpoint,
and a launch into another folder ends so. `is done`: the run itself came to that end. `was refused`: no rank started.
`stays so`: nothing mends it."""


@dataclass(frozen=True, kw_only=True)
class Fault:
    """One row of the matrix. `codes` of the command that `play` returns; `says`: a pattern in what it printed."""

    name: str
    group: str
    play: Callable[[Scene], Command]
    codes: tuple[int, ...]
    says: str
    after: After


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What became of it. `problems` is empty where the fault was held."""

    name: str
    group: str
    code: int | None
    seen: str
    after: str
    problems: tuple[str, ...]
    seconds: float
    commit: str
    run: str
    """The folder of the run."""
    waits: bool = False
    """Whether the run has yet to go on, together with others."""
    rows: tuple[tuple[str, ...], ...] = ()
    """Of a fault that is many: one row each."""
