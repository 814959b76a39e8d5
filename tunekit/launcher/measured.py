"""What a run measured, read from its measured.json: the peaks that people ask for."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

MeasuredPlace = Literal["GPU", "host"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Peak:
    """The worst phase of one place, in bytes: of a GPU the worst rank, of the host all ranks together."""

    place: MeasuredPlace
    bytes: int
    phase: str


def worst_peaks(measured: Mapping[str, Any]) -> tuple[Peak, ...]:
    """The peak of each place that the run used; on a GPU what torch's allocator reserved."""
    ranks = [rank.get("phases", {}) for rank in measured.get("ranks", ())]
    places: tuple[tuple[MeasuredPlace, str, Callable[[Iterable[float]], float]], ...] = (
        ("GPU", "device_reserved_bytes", max),
        ("host", "host_bytes", sum),
    )
    found = (_worst(place, field, over, ranks) for place, field, over in places)
    return tuple(peak for peak in found if peak.bytes)


def _worst(
    place: MeasuredPlace, field: str, over: Callable[[Iterable[float]], float], ranks: Sequence[Mapping[str, Any]]
) -> Peak:
    names = dict.fromkeys(name for rank in ranks for name in rank)
    sums = {name: over(float(rank.get(name, {}).get(field, 0)) for rank in ranks) for name in names}
    phase = max(sums, key=lambda name: sums[name], default="")
    return Peak(place=place, bytes=int(sums.get(phase, 0)), phase=phase)
