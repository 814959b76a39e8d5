"""`Finding`: what one check of `tunekit doctor` says, and `Check`: what is looked at, and why it matters. Pure."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, TypeAlias

if TYPE_CHECKING:
    from tunekit.doctor.case import Case

State = Literal["ok", "warning", "blocks", "cannot tell", "not needed"]
"""blocks: this recipe (without one: any training) cannot run here as things are."""
Group = Literal[
    "system", "GPUs", "links", "host memory", "disks", "DeepSpeed ops", "environment", "model and data", "recipe"
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """What a check saw: `found` with its numbers, and what to type or do."""

    state: State
    found: str
    cure: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One line of the doctor's report."""

    check: str
    """Short name, for scripts."""
    group: Group
    title: str
    state: State
    found: str
    why: str
    """Why it matters."""
    cure: str
    """What to type or do; empty where nothing is to be done."""

    @property
    def blocks(self) -> bool:
        """Whether this recipe cannot run here until it is cured."""
        return self.state == "blocks"


Look: TypeAlias = "Callable[[Case], Seen]"


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """One check. `look` is a pure function of the case."""

    name: str
    group: Group
    title: str
    why: str
    look: Look
    of_recipe: bool = False
    """Whether it is about a recipe, and left out without one."""
    at_launch: bool = True
    """Whether a launch says its doubts too: it needs no process of its own, and the launch says it nowhere else."""

    def finding(self, seen: Seen) -> Finding:
        """What was seen, with everything that is known beforehand."""
        return Finding(
            check=self.name,
            group=self.group,
            title=self.title,
            state=seen.state,
            found=seen.found,
            why=self.why,
            cure=seen.cure,
        )


def ok(found: str) -> Seen:
    """As it should be."""
    return Seen(state="ok", found=found)


def warning(found: str, cure: str) -> Seen:
    """It runs, but slower, or not for ever."""
    return Seen(state="warning", found=found, cure=cure)


def blocks(found: str, cure: str) -> Seen:
    """It does not run as things are."""
    return Seen(state="blocks", found=found, cure=cure)


def unknown(found: str, cure: str = "") -> Seen:
    """It could not be found out."""
    return Seen(state="cannot tell", found=found, cure=cure)


def not_needed(found: str) -> Seen:
    """It does not matter here."""
    return Seen(state="not needed", found=found)
