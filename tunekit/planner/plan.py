"""`Plan`: what will happen, in bytes and decisions. It is shown, launched, kept with the run and read by the worker."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from tunekit.hardware.spec import Hardware
from tunekit.memory.llamafactory_table import TableCheck
from tunekit.memory.terms import MemoryEstimate, Place
from tunekit.model_shape.shape import ModelShape
from tunekit.recipe.job import Job
from tunekit.recipe.schema import Recipe
from tunekit.speed.terms import SpeedEstimate
from tunekit.units import format_bytes

FORMAT_VERSION = 1

Verdict = Literal["fits", "tight", "rejected"]
Trust = Literal["both", "model", "table"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """A value the user did not write: what was chosen, why, and what was not."""

    key: str
    value: str
    reason: str
    rejected: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Fix:
    """A change that makes the plan smaller. `set` is what to type; bytes are saved where the plan was worst."""

    set: str
    saves_bytes: int
    note: str
    verdict: Verdict
    """The verdict of the plan after this change."""
    tokens_per_second: float | None = None
    """Expected, after this change; None where no speed is known."""
    needs_place: Place = "device"
    """The place that decides after this change: what is most overfull, or else fullest."""
    needs_bytes: int = 0
    """What is needed there then: expected where that is too much, else at most. 0: nobody said."""
    usable_bytes: int = 0
    needs_by: Literal["model", "table"] = "model"
    """The judge who says so."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """The whole plan. `trust` records whether the user overruled one judge."""

    format_version: int = FORMAT_VERSION
    verdict: Verdict
    reason: str
    """One sentence: why it fits, is tight, or is rejected, with the bytes."""
    trust: Trust = "both"
    recipe: Recipe
    job: Job
    model_shape: ModelShape
    num_trainable_parameters: int
    hardware: Hardware
    memory: MemoryEstimate
    table: TableCheck
    decisions: tuple[Decision, ...]
    speed: SpeedEstimate | None = None
    """None on a machine without GPUs, of which nothing is known."""
    fixes: tuple[Fix, ...] = ()
    warnings: tuple[str, ...] = ()
    expected_steps: int | None = None
    """About how many `train.num_epochs` make; None where `train.max_steps` says it or no data are here."""

    def __repr__(self) -> str:
        """The verdict and the bytes; every field is an attribute."""
        job, memory = self.job, self.memory
        places = [("GPU", memory.device)] if self.hardware.gpus else []
        places += [("host RAM", memory.host), ("disk", memory.disk)]
        bytes_by_place = ", ".join(
            f"{name} {format_bytes(place.expected_bytes)} of {format_bytes(place.usable_bytes)}"
            for name, place in places
        )
        return (
            f"<Plan {self.verdict}: {job.method} of {self.model_shape.name} on {self.hardware.name}; {bytes_by_place}>"
        )

    def _repr_html_(self) -> str:
        """What a notebook shows."""
        # A view of a value below it: imported when a notebook asks, so that planning never loads it.
        from tunekit.render.plan_html import plan_html

        return plan_html(self)
