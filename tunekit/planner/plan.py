"""`Plan`: what will happen, in bytes and decisions. It is shown, launched, kept with the run and read by the worker."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from tunekit.hardware.spec import Hardware
from tunekit.memory.llamafactory_table import TableCheck
from tunekit.memory.terms import MemoryEstimate
from tunekit.model_shape.shape import ModelShape
from tunekit.recipe.job import Job
from tunekit.recipe.schema import Recipe

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
    """A change that makes the plan smaller. `set` is what to type; bytes are saved where the plan is worst."""

    set: str
    saves_bytes: int
    note: str
    verdict: Verdict
    """The verdict of the plan after this change."""


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
    fixes: tuple[Fix, ...] = ()
    warnings: tuple[str, ...] = ()
