"""What a row of speeds says, as values the speed model takes."""

from __future__ import annotations

from dataclasses import dataclass

from tunekit.model_shape.shape import ModelShape
from tunekit.recipe.job import Job
from tunekit.speed.habits import Habits
from tunekit.speed.rates import Rates


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """A row mapped: what to estimate and what to compare it with."""

    name: str
    group: str
    evidence: str
    job: Job
    shape: ModelShape
    rates: Rates
    habits: Habits
    cards: int
    """Cards that share the work; `job.batch.world_size` are those that each have rows of their own."""
    tokens: float
    """Tokens of an optimizer step over all cards, as the source counts them."""
    outside: float
    """Seconds a step that the source counts and that are no training: its own tests of the model."""
    measured: float
    """Tokens per second over all cards."""
