"""Stacked bars as values: positions in percent of the axis, ready to draw, without any markup."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from math import ceil, floor, log10
from typing import ClassVar

COLOURS = 9
"""Parts that have a colour of their own; what is smaller shares the last one."""
ROOM = 1.04
"""The axis goes this much beyond the largest value."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Segment:
    """One part of a bar. `colour` counts from 0; `said` is what a pointer or a screen reader is told."""

    name: str
    start: float
    width: float
    colour: int
    said: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Bar:
    """A row of the chart."""

    label: str
    value: str
    share: str
    state: str
    """A verdict, which the value takes its colour from; empty for none."""
    segments: tuple[Segment, ...]
    marked: bool = False

    @property
    def said(self) -> str:
        """The bar in one sentence, for those who do not see it."""
        parts = "; ".join(segment.said for segment in self.segments)
        return f"{self.label}: {self.value}{f', {self.share}' if self.share else ''}. {parts}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Mark:
    """A line through all bars: what may be used, what it may come to."""

    kind: str
    at: float
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Legend:
    """A name beside its colour."""

    name: str
    colour: int
    amount: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Chart:
    """Bars over one axis."""

    kind: ClassVar[str] = "chart"
    title: str
    note: str
    bars: tuple[Bar, ...]
    marks: tuple[Mark, ...]
    ticks: tuple[tuple[float, str], ...]
    unit: str
    legend: tuple[Legend, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Palette:
    """Which colour each part has in every bar of a chart: the largest first, the small ones share the last."""

    largest: Mapping[str, float]
    """The largest size of each part in any bar."""

    def slots(self) -> dict[str, tuple[int, str]]:
        """Colour of each part, and the name it is shown by."""
        order = sorted(self.largest, key=lambda name: -self.largest[name])
        own = len(order) if len(order) <= COLOURS + 1 else COLOURS
        rest = f"{len(order) - own} smaller parts"
        return {name: (rank, name) if rank < own else (COLOURS, rest) for rank, name in enumerate(order)}

    def stack(self, sizes: Mapping[str, float], top: float, word: Callable[[float], str]) -> tuple[Segment, ...]:
        """The parts of one bar, one after the other, on an axis that ends at `top`; `word` writes a size."""
        slots, merged = self.slots(), dict[tuple[int, str], float]()
        for name, size in sizes.items():
            merged[slots[name]] = merged.get(slots[name], 0) + size
        segments: list[Segment] = []
        start = 0.0
        for (colour, name), size in sorted(merged.items()):
            width = 100 * size / top
            said = f"{name} {word(size)}"
            segments.append(Segment(name=name, start=round(start, 3), width=round(width, 3), colour=colour, said=said))
            start += width
        return tuple(segments)

    def legend(self, word: Callable[[float], str]) -> tuple[Legend, ...]:
        """A line per colour, with the size where the part has the colour to itself."""
        found: dict[int, Legend] = {}
        for name, (colour, shown) in self.slots().items():
            amount = word(self.largest[name]) if shown == name else ""
            found.setdefault(colour, Legend(name=shown, colour=colour, amount=amount))
        return tuple(found.values())


def ticks(top: float, wanted: int = 5) -> tuple[float, ...]:
    """Round numbers from 0 up to `top`: 1, 2 or 5 times a power of ten apart."""
    if top <= 0:
        return (0.0,)
    raw = top / wanted
    power = 10.0 ** floor(log10(raw))
    step = power * next(each for each in (1, 2, 5, 10) if each * power >= raw * 0.999)
    return tuple(step * count for count in range(ceil(top / step)) if step * count < top)


def placed_ticks(top: float) -> tuple[tuple[float, str], ...]:
    """Where each tick stands, in percent, and what is written there."""
    return tuple((round(100 * each / top, 3), f"{each:,.10g}") for each in ticks(top))


@dataclass(frozen=True, slots=True, kw_only=True)
class Charts:
    """Several charts: the first over the whole width, the others beside each other where there is room."""

    kind: ClassVar[str] = "charts"
    charts: tuple[Chart, ...]
