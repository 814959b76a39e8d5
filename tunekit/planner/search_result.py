"""`SearchResult`: every plan that a search found to fit, which one it recommends, and why the others lost.

A value like `Plan`: views draw the table, the scatter of memory against speed and the recipe from it alone.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from tunekit.hardware.spec import Hardware
from tunekit.model_shape.shape import ModelShape
from tunekit.planner.answer import as_typed
from tunekit.planner.change import Setting
from tunekit.planner.plan import Fix, Plan, Verdict
from tunekit.planner.quality import Loss
from tunekit.prices.hourly import Hourly
from tunekit.recipe.job import Zero
from tunekit.recipe.schema import MethodKind, Optimizer, Recipe
from tunekit.speed.terms import RunCost, SpeedEstimate

Goal = Literal["speed", "memory", "cost"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Amount:
    """Bytes that a plan needs in one place. expected <= high."""

    expected_bytes: int
    high_bytes: int
    usable_bytes: int

    @property
    def fullness(self) -> float:
        """High bytes per usable byte."""
        return self.high_bytes / max(1, self.usable_bytes)


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """One plan of the search. `settings` are the keys of the recipe that make it, as values."""

    settings: tuple[Setting, ...]
    method: MethodKind
    zero: Zero
    micro_batch_size: int
    activation_checkpointing: bool
    packing: bool
    optimizer: Optimizer
    losses: tuple[Loss, ...]
    """What it gives up in quality; `quality.MEANING` says it in words."""
    verdict: Verdict
    device: Amount
    """Each GPU."""
    host: Amount
    disk: Amount
    speed: SpeedEstimate
    run: RunCost
    """Of the tokens asked for, or of a million."""
    on_frontier: bool

    @property
    def typed(self) -> str:
        """The settings as `key=value` words."""
        return " ".join(f"{key}={as_typed(value)}" for key, value in self.settings)

    @property
    def seconds_per_token(self) -> float:
        """Expected seconds per token that is learned from."""
        return 1.0 / self.speed.tokens_per_second.expected

    @property
    def fullness(self) -> float:
        """High bytes per usable byte where it is fullest, GPU or RAM."""
        return max(self.device.fullness, self.host.fullness)


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchResult:
    """What `tunekit fit` found. Nothing was started."""

    goal: Goal
    recipe: Recipe
    """What was asked, with everything left open that was searched."""
    model_shape: ModelShape
    hardware: Hardware
    tokens: int
    """Tokens that hours and energy are for."""
    tokens_said: str
    """Where that number comes from."""
    candidates: tuple[Candidate, ...]
    """Every plan that fits and was weighed, the fastest first. What no frontier can hold is not weighed."""
    recommended: Candidate | None
    """None where nothing fits."""
    runner_up: Candidate | None
    reason: str
    """Why the recommended plan, and why not the runner-up; or what comes nearest and what it lacks."""
    plan: Plan | None
    """The whole plan of the recommended candidate; of what comes nearest where nothing fits."""
    no_resume: str
    """Why a run of the recommended plan that stops could not go on here; empty where it could."""
    fixes: tuple[Fix, ...]
    """Where nothing fits: what would, the smallest change first."""
    plans: int
    """Plans in the space."""
    weighed: int
    """Of them held against both judges; the others were decided by these."""
    hourly: Hourly | None = None
    """What an hour costs; told where cost is the goal. The hours of a plan decide which is the cheapest."""

    def cost(self, candidate: Candidate) -> float | None:
        """Expected money of the run, in the currency of `hourly`, with the wear of a drive whose price is known."""
        if self.hourly is None:
            return None
        return candidate.run.hours.expected * self.hourly.amount + (self.wear(candidate) or 0.0)

    def wear(self, candidate: Candidate) -> float | None:
        """Money that swapping wears off the drive; None where its price or what it is rated for is not known."""
        run, drive = candidate.run, None if self.hourly is None else self.hourly.drive
        if not run.nvme_bytes or drive == 0.0:
            return 0.0
        return None if drive is None or run.nvme_life is None else run.nvme_life * drive

    @property
    def frontier(self) -> tuple[Candidate, ...]:
        """Those that no other plan beats in speed, GPU memory, RAM and quality together, the fastest first."""
        return tuple(each for each in self.candidates if each.on_frontier)

    def __repr__(self) -> str:
        """The recommended plan in one line."""
        head = f"<SearchResult {self.model_shape.name} on {self.hardware.name} for {self.goal}"
        if self.recommended is None:
            return f"{head}: none of {self.plans:,} plans fits>"
        rate = self.recommended.speed.tokens_per_second.expected
        return f"{head}: {self.recommended.typed}; {rate:,.0f} tokens/s; best of {self.plans:,} plans>"

    def _repr_html_(self) -> str:
        """What a notebook shows."""
        # A view of a value below it: imported when a notebook asks, so that searching never loads it.
        from tunekit.render.search_html import search_html

        return search_html(self)
