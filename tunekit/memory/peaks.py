"""Sums of terms by phase, moment and place: which moment of a phase is the worst, and what every phase comes to.

Sums can be added: what the states take and what a pass keeps are counted apart by a search, which asks for thousands of
estimates.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass, replace

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

_MOMENTS: dict[Phase, tuple[Moment | None, ...]] = {phase: MOMENTS[phase] or (None,) for phase in (*PHASES, *LATER)}
_SLOTS = tuple((place, phase, moment) for place in PLACES for phase in _MOMENTS for moment in _MOMENTS[phase])
_SLOT = {slot: index for index, slot in enumerate(_SLOTS)}
_OF_PHASE = {
    (place, phase): tuple(_SLOT[place, phase, moment] for moment in _MOMENTS[phase])
    for place in PLACES
    for phase in _MOMENTS
}
_DECIDING = {place: tuple(slot for phase in PHASES for slot in _OF_PHASE[place, phase]) for place in PLACES}
"""The slots of what every run goes through."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sums:
    """Bytes by place, phase and moment: low, expected and high ones, and those the caching allocator holds."""

    low: tuple[float, ...]
    expected: tuple[int, ...]
    high: tuple[float, ...]
    pooled: tuple[int, ...]

    def __add__(self, other: Sums) -> Sums:
        """Both together."""
        return Sums(
            low=tuple(map(float.__add__, self.low, other.low)),
            expected=tuple(map(int.__add__, self.expected, other.expected)),
            high=tuple(map(float.__add__, self.high, other.high)),
            pooled=tuple(map(int.__add__, self.pooled, other.pooled)),
        )

    def worst(self, place: Place, phase: Phase) -> int:
        """The moment of a phase that expects most, as its index."""
        slots = _OF_PHASE[place, phase]
        return slots[0] if len(slots) == 1 else max(slots, key=self.expected.__getitem__)

    def peak(self, phase: Phase) -> PhasePeak:
        """Expected bytes of a phase in every place."""
        device, host, disk = (self.expected[self.worst(place, phase)] for place in PLACES)
        return PhasePeak(phase=phase, device_bytes=device, host_bytes=host, disk_bytes=disk)

    def estimate(self, place: Place, usable: int, margin: float) -> PlaceEstimate:
        """The worst moment of a place against what it may hold; what may follow a run decides nothing.

        `margin` is added to the high bytes of what the allocator holds. A moment that is expected to need less than
        another of its phase may need more at its highest, so each figure is the largest of all moments.
        """
        slots = _DECIDING[place]
        largest = max(slots, key=self.expected.__getitem__)
        return PlaceEstimate(
            low_bytes=round(max(map(self.low.__getitem__, slots))),
            expected_bytes=self.expected[largest],
            high_bytes=round(max(self.high[index] + margin * self.pooled[index] for index in slots)),
            usable_bytes=usable,
            worst_phase=_SLOTS[largest][1],
        )


def sum_of(terms: Iterable[MemoryTerm], absent: Collection[Phase] = ()) -> Sums:
    """The sums of these terms, without the phases that a run does not go through."""
    low, expected, high, pooled = [0.0] * len(_SLOTS), [0] * len(_SLOTS), [0.0] * len(_SLOTS), [0] * len(_SLOTS)
    for term in terms:
        place, size = term.place, term.bytes
        least, most, held = size * term.low, size * term.high, size if term.pooled else 0
        for phase in term.phases:
            if phase not in absent:
                for moment in _named(term, phase):
                    slot = _SLOT[place, phase, moment]
                    low[slot] += least
                    expected[slot] += size
                    high[slot] += most
                    pooled[slot] += held
    return Sums(low=tuple(low), expected=tuple(expected), high=tuple(high), pooled=tuple(pooled))


def at_their_peaks(terms: Iterable[MemoryTerm], sums: Sums, absent: Collection[Phase] = ()) -> tuple[MemoryTerm, ...]:
    """Each term with only those phases at whose peak it stands."""
    return tuple(_standing(term, sums, absent) for term in terms)


def _standing(term: MemoryTerm, sums: Sums, absent: Collection[Phase]) -> MemoryTerm:
    place = term.place
    kept = tuple(
        phase
        for phase in term.phases
        if phase not in absent and _SLOTS[sums.worst(place, phase)][2] in _named(term, phase)
    )
    return term if kept == term.phases else replace(term, phases=kept)


def _named(term: MemoryTerm, phase: Phase) -> tuple[Moment | None, ...]:
    """The moments of a phase in which a term lives: those it names, or all."""
    moments = _MOMENTS[phase]
    if not term.moments:
        return moments
    return tuple(each for each in term.moments if each in moments) or moments
