"""Memory by term and phase, a chart for each place: GPU, RAM, disk."""

from __future__ import annotations

from collections import defaultdict
from itertools import chain

from tunekit.memory.terms import Phase, Place
from tunekit.planner.plan import Plan
from tunekit.render.pages.bars import ROOM, Bar, Chart, Mark, Palette, Segment, placed_ticks
from tunekit.render.plan_parts import Cell, MemoryColumn, memory_columns, shown_phases
from tunekit.units import GIB, format_bytes


def memory_charts(plan: Plan) -> tuple[Chart, ...]:
    """One chart per place that the machine has; the bytes of a bar are those of the estimate's phase."""
    return tuple(_chart(plan, column) for column in memory_columns(plan))


def sizes_by_phase(plan: Plan, place: Place) -> dict[Phase, dict[str, int]]:
    """Bytes of each term in one place, by phase; terms of one name are added up."""
    sizes: dict[Phase, dict[str, int]] = {phase: defaultdict(int) for phase in shown_phases(plan)}
    for term in plan.memory.terms:
        for phase in sizes.keys() & set(term.phases):
            if term.bytes_in(place):
                sizes[phase][term.name] += term.bytes_in(place)
    return {phase: dict(named) for phase, named in sizes.items()}


def _chart(plan: Plan, column: MemoryColumn) -> Chart:
    estimate = column.estimate
    sizes = sizes_by_phase(plan, column.place)
    largest: dict[str, float] = {}
    for name, size in chain.from_iterable(named.items() for named in sizes.values()):
        largest[name] = max(largest.get(name, 0), size)
    palette = Palette(largest=largest)
    top = ROOM * max(estimate.usable_bytes, estimate.high_bytes, 1)
    return Chart(
        title=column.title,
        note=f"{format_bytes(estimate.expected_bytes)} at its peak, {estimate.worst_phase}",
        bars=tuple(
            _bar(phase, cell, palette.stack(sizes[phase], top, _word), worst=phase == estimate.worst_phase)
            for phase, cell in column.cells
        ),
        marks=(
            _mark("usable", "usable", estimate.usable_bytes, top),
            _mark("high", "at most", estimate.high_bytes, top),
        ),
        ticks=placed_ticks(top / GIB),
        unit="GiB",
        legend=palette.legend(_word),
    )


def _mark(kind: str, words: str, size: int, top: float) -> Mark:
    return Mark(kind=kind, at=round(100 * size / top, 3), text=f"{words} {format_bytes(size)}")


def _bar(phase: Phase, cell: Cell, segments: tuple[Segment, ...], *, worst: bool) -> Bar:
    share = f"{cell.share:.0%}"
    return Bar(
        label=phase, value=format_bytes(cell.bytes), share=share, state=cell.verdict, segments=segments, marked=worst
    )


def _word(size: float) -> str:
    return format_bytes(int(size))
