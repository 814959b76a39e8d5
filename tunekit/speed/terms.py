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
class SpeedEstimate:
    """What the speed model says of a job on a machine. Tokens are those of all GPUs together, padding not counted."""

    terms: tuple[SpeedTerm, ...]
    step_seconds: Band
    tokens_per_step: int
    """Positions of an optimizer step over all GPUs, padding included."""
    useful_share: Band
    """Share of the positions that hold a token: 1 with packed rows."""
    nvme_bytes_per_step: int = 0
    """Bytes written to the drive by each optimizer step."""
    notes: tuple[str, ...] = ()

    @property
    def tokens_per_second(self) -> Band:
        """Useful tokens per second over all GPUs."""
        seconds, share = self.step_seconds, self.useful_share
        return Band(
            low=self.tokens_per_step * share.low / seconds.high,
            expected=self.tokens_per_step * share.expected / seconds.expected,
            high=self.tokens_per_step * share.high / seconds.low,
        )

    @property
    def largest(self) -> tuple[SpeedTerm, ...]:
        """The three largest costs."""
        return tuple(sorted(self.terms, key=lambda term: -term.seconds)[:SHOWN])

    @property
    def measured_share(self) -> float:
        """Share of the step whose rates were measured on this machine."""
        known = sum(term.seconds for term in self.terms if term.kind == "measured")
        return known / self.step_seconds.expected
