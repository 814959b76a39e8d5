"""Sums of terms by phase and place: which moment of a phase is the worst, and what every phase comes to.

A search asks for thousands of estimates, so each term is looked at once for its moments and once for its phases.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace

from tunekit.memory.terms import (
    LATER,
    MOMENTS,
    PHASES,
    PLACES,
    MemoryTerm,
    Moment,
    Phase,
    PhasePeak,
    Place,
    PlaceEstimate,
)


def at_their_peaks(terms: tuple[MemoryTerm, ...]) -> tuple[MemoryTerm, ...]:
    """Each term with only those phases at whose peak it stands."""
    worst = _worst_moments(terms)
    return tuple(_standing(term, worst) if term.moments else term for term in terms)


def _worst_moments(terms: Iterable[MemoryTerm]) -> dict[tuple[Phase, Place], Moment | None]:
    sums = {(phase, place): dict.fromkeys(MOMENTS[phase], 0) for phase in MOMENTS for place in PLACES}
    for term in terms:
        place, size = term.place, term.bytes
        for phase in term.phases:
            inside = sums[phase, place]
            for moment in _named(term, phase):
                inside[moment] += size
    return {key: _largest(inside) for key, inside in sums.items()}


def _largest(sums: dict[Moment, int]) -> Moment | None:
    return max(sums, key=sums.__getitem__) if sums else None


def _named(term: MemoryTerm, phase: Phase) -> tuple[Moment, ...]:
    """The moments of a phase in which a term lives: those it names, or all."""
    moments = MOMENTS[phase]
    if not term.moments:
        return moments
    return tuple(each for each in term.moments if each in moments) or moments


def _standing(term: MemoryTerm, worst: dict[tuple[Phase, Place], Moment | None]) -> MemoryTerm:
    place = term.place
    kept = tuple(phase for phase in term.phases if not MOMENTS[phase] or worst[phase, place] in _named(term, phase))
    return term if kept == term.phases else replace(term, phases=kept)


@dataclass(slots=True)
class _Sum:
    """Bytes of one phase in one place."""

    low: float = 0.0
    expected: int = 0
    high: float = 0.0


@dataclass(slots=True)
class Totals:
    """Every phase in every place, summed from terms that stand at their peaks.

    `margin` is added to the high bytes of what the allocator of the place `allocator` holds.
    """

    margin: float
    allocator: Place
    sums: dict[tuple[Phase, Place], _Sum] = field(
        default_factory=lambda: {(phase, place): _Sum() for phase in (*PHASES, *LATER) for place in PLACES}
    )

    def add(self, terms: Iterable[MemoryTerm]) -> None:
        """Add these terms."""
        for term in terms:
            place, size = term.place, term.bytes
            share = self.margin if term.pooled and place == self.allocator else 0.0
            low, high = size * term.low, size * (term.high + share)
            for phase in term.phases:
                total = self.sums[phase, place]
                total.low += low
                total.expected += size
                total.high += high

    def peak(self, phase: Phase) -> PhasePeak:
        """Expected bytes of a phase in every place."""
        device, host, disk = (self.sums[phase, place].expected for place in PLACES)
        return PhasePeak(phase=phase, device_bytes=device, host_bytes=host, disk_bytes=disk)

    def estimate(self, place: Place, usable: int) -> PlaceEstimate:
        """The worst phase of a place against what it may hold; what may follow a run decides nothing."""
        sums = [self.sums[phase, place] for phase in PHASES]
        worst = max(PHASES, key=lambda phase: self.sums[phase, place].expected)
        return PlaceEstimate(
            low_bytes=max(round(each.low) for each in sums),
            expected_bytes=self.sums[worst, place].expected,
            high_bytes=max(round(each.high) for each in sums),
            usable_bytes=usable,
            worst_phase=worst,
        )
