"""The values of a speed estimate: named seconds of an optimizer step, and what they come to in tokens and hours."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Kind = Literal["measured", "default"]
"""measured: its rate was measured on this machine; default: it comes from data sheets or from other machines."""
SHOWN = 3
"""How many costs are named as the largest."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SpeedTerm:
    """Seconds that one cost adds to an optimizer step; what hides behind something else is not in them.

    `formula` is the formula with its numbers put in, per pass where it says so. low <= seconds <= high.
    """

    name: str
    seconds: float
    low: float
    high: float
    formula: str
    source: str
    kind: Kind = "default"


@dataclass(frozen=True, slots=True, kw_only=True)
class Band:
    """low <= expected <= high."""

    low: float
    expected: float
    high: float


@dataclass(frozen=True, slots=True, kw_only=True)
class RunCost:
    """What all optimizer steps of a run take. Evaluation, saving and loading are not in it."""

    steps: int
    hours: Band
    watts: int
    """At the wall while it trains."""
    kwh: Band
    nvme_bytes: int = 0
    """Written to the drive by swapping states."""
    nvme_life: float | None = None
    """Share of what the drive's maker allows to be written; None where it is not known or nothing is swapped."""
    nvme_kwh: float = 0.0
    """Energy that costs as much as that share of a new drive; of a drive without a price, of 1,000 kWh."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SpeedEstimate:
    """What the speed model says of a job on a machine. Tokens are those of all GPUs together, padding not counted."""

    tokens_per_second: Band
    step_seconds: Band
    tokens_per_step: int
    """Tokens of an optimizer step over all GPUs: what `tokens_per_second` counts."""
    positions_per_step: int
    """The same with what rows are padded with."""
    useful_share: Band
    """Share of the positions that hold a token: 1 with packed rows."""
    nvme_bytes_per_step: int = 0
    """Bytes written to the drive by each optimizer step."""
    terms: tuple[SpeedTerm, ...]
    run: RunCost | None = None
    """None where the number of steps is not known before the data is read."""

    @property
    def largest(self) -> tuple[SpeedTerm, ...]:
        """The three largest costs."""
        return tuple(sorted(self.terms, key=lambda term: -term.seconds)[:SHOWN])

    @property
    def measured_share(self) -> float:
        """Share of the step whose rates were measured on this machine."""
        known = sum(term.seconds for term in self.terms if term.kind == "measured")
        return known / self.step_seconds.expected
