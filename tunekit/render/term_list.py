"""Every term of a memory estimate: bytes, formula with its numbers, source, kind and when it stands."""

from __future__ import annotations

from collections.abc import Iterator

from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from tunekit.memory.terms import LATER, PHASES, MemoryTerm, Place, PlaceEstimate
from tunekit.planner.plan import Plan
from tunekit.render.plan_parts import memory_columns, shown_phases
from tunekit.units import format_bytes


def term_list(plan: Plan) -> Table:
    """The terms by place, in the order of the model; those that name a phase add up to it."""
    table = Table.grid(padding=(0, 2, 0, 0))
    table.add_column(justify="right", no_wrap=True)
    table.add_column(overflow="fold")
    for column in memory_columns(plan):
        table.add_row("", Text(place_line(column.title, column.estimate), style="bold"))
        for size, line in _place(plan, column.place):
            table.add_row(size, line)
    return table


def place_line(title: str, estimate: PlaceEstimate) -> str:
    """`GPU: low to high GiB, expected ... in its worst phase, step`."""
    low, expected, high = map(format_bytes, (estimate.low_bytes, estimate.expected_bytes, estimate.high_bytes))
    return f"{title}: {expected} in the worst phase, {estimate.worst_phase}; {low} to {high}"


def _place(plan: Plan, place: Place) -> Iterator[tuple[str, Text | Padding]]:
    for term in plan.memory.terms:
        size = term.bytes_in(place)
        if not size:
            continue
        told = f"  {kind_of(term)}; {when(term, plan)}"
        yield format_bytes(size), Text.assemble((term.name, "bold"), (told, "dim"))
        yield "", Padding(Text.assemble(term.formula, "\n", (term.source, "dim")), (0, 0, 0, 2))


def kind_of(term: MemoryTerm) -> str:
    """`bound, x0.5 to x1`: how the number is known, and its band."""
    return term.kind if term.low == term.high == 1.0 else f"{term.kind}, x{term.low:g} to x{term.high:g}"


def when(term: MemoryTerm, plan: Plan) -> str:
    """The phases of the run at whose peak the term stands, in few words; what follows a run only where nothing else."""
    shown = shown_phases(plan)
    mine = [phase for phase in PHASES if phase in term.phases]
    if set(mine) >= set(shown):
        return "always"
    if set(mine) >= set(shown) - {"load"}:
        return "from the first forward on"
    if set(mine) >= set(shown) - {"load", "first forward"}:
        return "from the first step on"
    return ", ".join(mine or [phase for phase in LATER if phase in term.phases]) or "never at a peak"
