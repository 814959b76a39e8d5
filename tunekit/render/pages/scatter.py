"""The plans of a search as points: memory of each GPU against tokens per second, positions in percent."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from math import log10
from typing import ClassVar

from tunekit.planner.search_result import Candidate, SearchResult
from tunekit.recipe.schema import MethodKind
from tunekit.render.fit_parts import duration, gives_up, passes, placement
from tunekit.render.pages.bars import ROOM, ticks
from tunekit.units import GIB, format_bytes, format_count, format_kwh

LOGARITHMIC = 8
"""Speeds that differ by more than this are drawn on a logarithmic axis."""
MARGIN = 5.0
"""Percent that stay free below the slowest and above the fastest plan."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    """One plan. `x` and `y` are percent from the left and from the top."""

    x: float
    y: float
    method: MethodKind
    recommended: bool
    said: str
    typed: str
    facts: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Scatter:
    """The picture of a search: the frontier, what lies behind it, and the edge of the card."""

    kind: ClassVar[str] = "scatter"
    frontier: tuple[Point, ...]
    behind: tuple[Point, ...]
    edge: tuple[tuple[float, float], ...]
    """Steps along the most speed that so much GPU memory gives."""
    usable: float
    usable_text: str
    x_ticks: tuple[tuple[float, str], ...]
    y_ticks: tuple[tuple[float, str], ...]
    methods: tuple[MethodKind, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Axes:
    right: float
    low: float
    high: float
    logarithmic: bool

    def x(self, size: float) -> float:
        return round(100 * size / self.right, 2)

    def y(self, rate: float) -> float:
        low, high, here = (log10(each) if self.logarithmic else each for each in (self.low, self.high, rate))
        span = (high - low) or 1.0
        return round(100 - MARGIN - (100 - 2 * MARGIN) * (here - low) / span, 2)


def scatter(found: SearchResult) -> Scatter | None:
    """The picture; None where nothing fits."""
    if not found.candidates:
        return None
    axes = _axes(found)
    frontier = tuple(_point(each, found, axes) for each in found.frontier)
    usable = max(each.device.usable_bytes for each in found.candidates)
    return Scatter(
        frontier=frontier,
        behind=tuple(_point(each, found, axes) for each in found.candidates if not each.on_frontier),
        edge=tuple(_edge(frontier)),
        usable=axes.x(usable),
        usable_text=f"usable {format_bytes(usable)}",
        x_ticks=tuple((axes.x(each * GIB), f"{each:g}") for each in ticks(axes.right / GIB)),
        y_ticks=tuple((axes.y(each), f"{each:,.0f}") for each in _rates(axes)),
        methods=tuple(dict.fromkeys(point.method for point in frontier)),
    )


def _axes(found: SearchResult) -> _Axes:
    rates = [each.speed.tokens_per_second.expected for each in found.candidates]
    sizes = [each.device.usable_bytes for each in found.candidates] + [
        each.device.expected_bytes for each in found.candidates
    ]
    far = max(rates) > LOGARITHMIC * min(rates)
    return _Axes(right=ROOM * max(*sizes, 1), low=min(rates) if far else 0.0, high=max(rates), logarithmic=far)


def _rates(axes: _Axes) -> tuple[float, ...]:
    if not axes.logarithmic:
        return ticks(axes.high * 1.001, 4)
    powers = range(int(log10(axes.low)), int(log10(axes.high)) + 1)
    found = [digit * 10.0**power for power in powers for digit in (1, 2, 5)]
    return tuple(each for each in found if axes.low <= each <= axes.high)


def _point(candidate: Candidate, found: SearchResult, axes: _Axes) -> Point:
    rate = candidate.speed.tokens_per_second
    return Point(
        x=axes.x(candidate.device.expected_bytes),
        y=axes.y(rate.expected),
        method=candidate.method,
        recommended=candidate is found.recommended,
        said=f"{placement(candidate)}; {passes(candidate)}: {format_bytes(candidate.device.expected_bytes)} each GPU, "
        f"{rate.expected:,.0f} tokens/s",
        typed=candidate.typed,
        facts=tuple(_facts(candidate, found)),
    )


def _facts(candidate: Candidate, found: SearchResult) -> Iterator[tuple[str, str]]:
    rate, run = candidate.speed.tokens_per_second, candidate.run
    yield "Plan", placement(candidate)
    yield "Passes", passes(candidate)
    yield "Speed", f"{rate.expected:,.0f} tokens/s ({rate.low:,.0f} to {rate.high:,.0f})"
    for name, place in (("Each GPU", candidate.device), ("Host RAM", candidate.host)):
        yield name, f"{format_bytes(place.expected_bytes)} of {format_bytes(place.usable_bytes)}"
    hours = duration(3600 * run.hours.expected)
    yield f"{format_count(found.tokens)} tokens", f"{hours}, {format_kwh(run.kwh.expected)}"
    yield "Quality", gives_up(candidate)


def _edge(points: tuple[Point, ...]) -> Iterator[tuple[float, float]]:
    """From the smallest plan on, a step up wherever more memory gives more speed."""
    best: float | None = None
    for point in sorted(points, key=lambda each: (each.x, each.y)):
        if best is None or point.y < best:
            yield from ((point.x, best),) if best is not None else ()
            yield point.x, point.y
            best = point.y
