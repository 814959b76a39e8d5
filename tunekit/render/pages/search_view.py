"""A search as a page: the frontier as a picture and a table, the recommended plan with its own pictures, its recipe."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from tunekit.planner.fit_recipe import recipe_text
from tunekit.planner.search_result import SearchResult
from tunekit.render.fit_parts import (
    Row,
    cost_words,
    count_line,
    gives_up,
    headline,
    hours_title,
    passes,
    placement,
    recommended_lines,
    rows,
)
from tunekit.render.pages.parts import Cell, Lines, Section, Table, Text, Tile, View, cells
from tunekit.render.pages.plan_view import (
    details,
    fixes_section,
    judges_section,
    memory_section,
    plan_tiles,
    speed_section,
    time_tile,
)
from tunekit.render.pages.scatter import scatter
from tunekit.render.plan_parts import FIT_FLAGS
from tunekit.units import GIB, format_count


def search_view(found: SearchResult, priced: tuple[Section, ...] = (), after: tuple[Section, ...] = ()) -> View:
    """The page of a search; where nothing fits, of what comes nearest. `priced`: what renting costs; `after`: next."""
    return View(
        badge=found.recommended.verdict if found.recommended else "nothing fits",
        title=headline(found),
        reason=found.reason if found.recommended is None else count_line(found),
        tiles=tuple(_tiles(found)),
        sections=tuple(_sections(found, priced, after)),
    )


def _tiles(found: SearchResult) -> Iterator[Tile]:
    best = found.recommended
    if found.plan is None:
        return
    yield from (tile for tile in plan_tiles(found.plan) if best is None or tile.state or tile.name == "Speed")
    if best is not None:
        yield time_tile(f"{format_count(found.tokens)} tokens", best.run.hours, best.run.kwh.expected)


def _sections(found: SearchResult, priced: tuple[Section, ...], after: tuple[Section, ...]) -> Iterator[Section]:
    best, picture = found.recommended, scatter(found)
    if best is not None:
        known = tuple(cells(label, text) for label, text in recommended_lines(found, best) if label != "Keys")
        yield Section(title="Recommended", parts=(Table(caption="The recommended plan", rows=known),))
    if found.fixes and found.plan is not None:
        yield fixes_section(replace(found.plan, fixes=found.fixes), FIT_FLAGS)
    if best is not None and found.plan is not None and found.plan.warnings:
        yield Section(title="Warnings", parts=(Lines(lines=found.plan.warnings, listed=True),))
    yield from after
    if picture is not None:
        yield Section(title="What fits: memory against speed", parts=(picture,))
        yield Section(title="The frontier", parts=tuple(_frontier(found)))
    if found.plan is not None:
        yield memory_section(found.plan)
        yield speed_section(found.plan)
        yield from priced
        yield judges_section(found.plan)
        yield from details(found.plan)
    if best is not None:
        yield Section(title="Recipe", parts=(Text(name="recipe.yaml", text=recipe_text(found)),))


def _frontier(found: SearchResult) -> Iterator[Table | Lines]:
    shown = rows(found)
    costs = (found.hourly.currency,) if found.hourly else ()
    head = ("plan", "GPU, GiB", "RAM, GiB", "tokens/s", "from", "to", hours_title(found), *costs, "gives up")
    yield Table(
        caption="The best plan of each kind on the frontier, the fastest first",
        head=head,
        rows=tuple(_row(found, row) for row in shown),
        marked=next((index for index, row in enumerate(shown) if row.candidate is found.recommended), None),
    )
    if found.runner_up is not None:
        yield Lines(lines=(f"Why not {placement(found.runner_up)}: {found.reason}.",))


def _row(found: SearchResult, row: Row) -> tuple[Cell, ...]:
    candidate = row.candidate
    rate = candidate.speed.tokens_per_second
    figures = (candidate.device.expected_bytes / GIB, candidate.host.expected_bytes / GIB)
    rates = (rate.expected, rate.low, rate.high)
    costs = (cost_words(found, candidate),) if found.hourly else ()
    return (
        Cell(text=placement(candidate), look="name", more=passes(candidate)),
        *(Cell(text=f"{each:,.1f}", look="number") for each in figures),
        *(Cell(text=f"{each:,.0f}", look="number") for each in rates),
        *(Cell(text=text, look="number") for text in (row.hours, *costs)),
        Cell(text=gives_up(candidate).removeprefix("gives up: ").removeprefix("gives up ")),
    )
