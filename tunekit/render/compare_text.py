"""The comparison as text, for 80 columns: rows of figures, with the source of each price under them."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date

from rich.console import Console, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from tunekit.planner.compare import Comparison, Side
from tunekit.render.compare_parts import (
    HEAD,
    REFUSED,
    age_line,
    even_line,
    figures,
    heading,
    more_line,
    own_line,
    owned_lines,
    price_lines,
    refused,
    shown,
    states,
    states_line,
    unknown_line,
)
from tunekit.render.plain import without_trailing_spaces


def render_comparison(found: Comparison, console: Console, today: date) -> None:
    """Print the machines, the cheapest per token first, those that do not fit with why, and the break-even."""
    with without_trailing_spaces(console):
        for part in _parts(found, today):
            console.print(part, highlight=False)


def _parts(found: Comparison, today: date) -> Iterator[RenderableType]:
    yield Text(f"\n{heading(found)}", style="bold")
    yield Padding(_rows(found, today), (0, 0, 0, 2))
    if old := age_line(found, today):
        yield Padding(Text(f"! {old}", style="yellow"), (0, 0, 0, 2))
    if unknown := unknown_line(found):
        yield Padding(Text(unknown, style="dim"), (0, 0, 0, 2))
    even = [(side.name, line) for side in shown(found) if (line := even_line(side, found))]
    if found.owned is not None and even:
        yield Text("\nHours of use per month beyond which the own machine is cheaper", style="bold")
        yield Padding(_even(found, even), (0, 0, 0, 2))
    if refused(found):
        yield Text("\nDoes not fit on", style="bold")
        yield Padding(_refused(found), (0, 0, 0, 2))


def _rows(found: Comparison, today: date) -> Table:
    table = Table(box=None, padding=(0, 1, 0, 0), pad_edge=False, header_style="dim")
    table.add_column("", overflow="fold")
    for name in HEAD:
        table.add_column(name, justify="right", no_wrap=True)
    for side in (found.own, *shown(found)):
        table.add_row(_name(side, "bold" if side is found.own else ""), *figures(side))
    outer = Table.grid()
    outer.add_row(table)
    if more := more_line(found):
        outer.add_row(Text(more, style="dim"))
    if lost := states_line(found):
        outer.add_row(Text(lost, style="dim"))
    notes = [(found.own.name, own_line(found)), *_sources(found, today)]
    outer.add_row(Text())
    outer.add_row(_pairs(notes))
    return outer


def _name(side: Side, style: str) -> Text:
    lost = states(side)
    return Text.assemble((side.name, style), (f"\n  {lost}" if lost else "", "dim"))


def _sources(found: Comparison, today: date) -> Iterator[tuple[str, str]]:
    for side in shown(found):
        for index, line in enumerate(price_lines(side, today)):
            yield "" if index else side.name, line


def _pairs(rows: list[tuple[str, str]]) -> Table:
    grid = Table.grid(padding=(0, 2, 0, 0))
    grid.add_column(no_wrap=True)
    grid.add_column(overflow="fold", style="dim")
    for name, line in rows:
        grid.add_row(name, line)
    return grid


def _even(found: Comparison, sides: list[tuple[str, str]]) -> Table:
    outer = Table.grid()
    outer.add_row(_pairs(sides))
    outer.add_row(Text())
    first, *others = owned_lines(found)
    outer.add_row(Text(f"Owning: {first}."))
    outer.add_row(Text("; ".join(others) + "; --own KEY=VALUE changes them.", style="dim"))
    return outer


def _refused(found: Comparison) -> Table:
    grid = _pairs([(side.name, side.reason) for side in refused(found)[:REFUSED]])
    if (more := len(refused(found)) - REFUSED) > 0:
        grid.add_row(f"{more} more", "--json lists them")
    return grid
