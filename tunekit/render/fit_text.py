"""A search as text: the recommended plan first, then the frontier as a table, then why the others lost.

Colours only on a terminal; without one the text is plain ASCII. Written for 80 columns and more.
"""

from __future__ import annotations

from collections.abc import Iterator

from rich.console import Console, RenderableType
from rich.table import Table
from rich.text import Text

from tunekit.planner.search_result import SearchResult
from tunekit.render.fit_parts import (
    Row,
    cost_words,
    count_line,
    given_up,
    gives_up,
    headline,
    hours_title,
    passes,
    placement,
    recommended_lines,
    rows,
    truth,
)
from tunekit.render.plain import without_trailing_spaces
from tunekit.render.plan_parts import FIT_FLAGS
from tunekit.render.plan_text import STYLES, fixes_table, section, warnings_list
from tunekit.units import GIB

_MARK = ">"


def render_search(found: SearchResult, console: Console) -> None:
    """Print what a search found."""
    with without_trailing_spaces(console):
        for part in _parts(found):
            console.print(part, markup=False, highlight=False)


def _parts(found: SearchResult) -> Iterator[RenderableType]:
    best = found.recommended
    verdict = "rejected" if best is None else best.verdict
    word = "NOTHING FITS" if best is None else "RECOMMENDED" if verdict == "fits" else "TIGHT"
    yield Text.assemble((word, f"bold {STYLES[verdict]}"), "  ", (headline(found), "bold"))
    if best is None:
        yield from _nothing(found)
        return
    yield _lines(recommended_lines(found, best))
    yield from section(f"Plans that no other beats, for each placement the best for {found.goal}", _frontier(found))
    if found.runner_up is not None:
        yield from section(
            "The runner-up", Text(f"{placement(found.runner_up)}; {passes(found.runner_up)}: {found.reason}.")
        )
    lost = given_up(found)
    if lost:
        yield from section("What is given up", _lines(lost))
    if found.plan is not None and found.plan.warnings:
        yield from section("Warnings", warnings_list(found.plan.warnings))
    yield Text(f"\n{count_line(found)}", style="dim")
    yield Text(truth(found), style="dim")


def _nothing(found: SearchResult) -> Iterator[RenderableType]:
    yield Text(found.reason)
    yield Text(count_line(found), style="dim")
    if found.fixes:
        yield from section("What would", fixes_table(found.fixes, FIT_FLAGS))
    else:
        yield Text("\nNothing that tunekit knows makes this fit a shipped machine.")


def _lines(pairs: tuple[tuple[str, str], ...]) -> Table:
    grid = Table.grid(padding=(0, 2, 0, 0))
    grid.add_column(style="bold", no_wrap=True)
    grid.add_column(overflow="fold")
    for label, text in pairs:
        grid.add_row(label, text)
    return grid


def _frontier(found: SearchResult) -> Table:
    table = Table(box=None, padding=(0, 1, 0, 0), pad_edge=False, header_style="dim")
    table.add_column("")
    table.add_column("plan", overflow="fold", ratio=1)
    band = "low to high" if found.hourly is None else found.hourly.currency
    for title in ("GPU GiB", "RAM GiB", "tokens/s", band, hours_title(found)):
        table.add_column(title, justify="right", no_wrap=True)
    for row in rows(found):
        table.add_row(*_cells(found, row))
    return table


def _cells(found: SearchResult, row: Row) -> tuple[RenderableType, ...]:
    each = row.candidate
    rate = each.speed.tokens_per_second
    style = "bold" if each == found.recommended else ""
    plan = Text.assemble((placement(each), style), (f"\n{passes(each)}\n{gives_up(each)}", "dim"))
    return (
        Text(_MARK if each == found.recommended else "", "green"),
        plan,
        Text(f"{each.device.expected_bytes / GIB:.1f}", style),
        Text(f"{each.host.expected_bytes / GIB:.1f}", style),
        Text(f"{rate.expected:,.0f}", style),
        Text(cost_words(found, each), style) if found.hourly else Text(f"{rate.low:,.0f}-{rate.high:,.0f}", "dim"),
        Text(row.hours, style),
    )
