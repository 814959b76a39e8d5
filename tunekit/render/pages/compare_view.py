"""The comparison on a page: a bar per machine for the price of a million tokens, and the tables behind it."""

from __future__ import annotations

from datetime import date

from tunekit.planner.compare import Comparison, Side
from tunekit.render.compare_parts import (
    HEAD,
    age_line,
    even_line,
    figures,
    heading,
    money,
    own_line,
    owned_lines,
    price_lines,
    refused,
    shown,
    states,
    states_line,
    unknown_line,
)
from tunekit.render.pages.bars import ROOM, Bar, Chart, Palette, placed_ticks
from tunekit.render.pages.parts import Cell, Lines, Part, Section, Table, cells

ELECTRICITY, PURCHASE, SPOT, RENT = (
    "electricity",
    "purchase, if it never idles",
    "rent, at the spot price",
    "rent on demand",
)


def compare_sections(found: Comparison, today: date) -> tuple[Section, ...]:
    """Prices of a million tokens side by side; what each figure is from; what the job does not fit."""
    parts: list[Part] = []
    chart = _chart(found)
    if chart is not None:
        parts.append(chart)
    parts.append(_table(found, today))
    notes = (states_line(found), age_line(found, today), unknown_line(found))
    parts += [Lines(lines=(note,)) for note in notes if note]
    first = Section(title=heading(found), parts=tuple(parts))
    owning = _owning(found)
    refusals = tuple(cells(side.name, f"{money(side.usd_per_hour)} $/hour", side.reason) for side in refused(found))
    table = Table(caption="Machines that the job does not fit", head=("machine", "price", "why"), rows=refusals)
    others = (Section(title="What owning counts", parts=owning, open=False),) if owning else ()
    return (first, *others, *((Section(title="Does not fit on", parts=(table,), open=False),) if refusals else ()))


def _chart(found: Comparison) -> Chart | None:
    sizes = {side.name: _sizes(side, found) for side in (found.own, *shown(found))}
    drawn = {name: parts for name, parts in sizes.items() if parts}
    if not drawn:
        return None
    top = ROOM * max(sum(parts.values()) for parts in drawn.values())
    # The four parts keep their colours, whichever of them there are.
    palette = Palette(largest={ELECTRICITY: 4, PURCHASE: 3, SPOT: 2, RENT: 1})
    bars = tuple(
        Bar(
            label=name,
            value=f"{money(sum(parts.values()))} $",
            share="",
            state="",
            segments=palette.stack(parts, top, lambda amount: f"{money(amount)} $"),
            marked=name == found.own.name,
        )
        for name, parts in drawn.items()
    )
    return Chart(
        title="Price of a million tokens",
        note="the whole bar: on demand; one's own machine: with its purchase",
        bars=bars,
        marks=(),
        ticks=placed_ticks(top),
        unit="$",
        legend=palette.legend(lambda _: ""),
    )


def _sizes(side: Side, found: Comparison) -> dict[str, float]:
    """What a million tokens cost, in parts that add up."""
    hourly = side.per_million(side.usd_per_hour)
    if hourly is None:
        return {}
    if side is found.own:
        return {ELECTRICITY: hourly, PURCHASE: max(0.0, (found.own_usd_never_idle or hourly) - hourly)}
    spot = side.per_million(side.spot_usd_per_hour)
    return {RENT: hourly} if spot is None or spot >= hourly else {SPOT: spot, RENT: hourly - spot}


def _table(found: Comparison, today: date) -> Table:
    rows = [_row(found.own, found, own_line(found))]
    rows += [_row(side, found, " · ".join(price_lines(side, today))) for side in shown(found)]
    head = ("machine", *HEAD, *(("own is cheaper from, a month",) if found.owned else ()))
    return Table(caption="The same job on each machine", head=head, rows=tuple(rows), marked=0)


def _row(side: Side, found: Comparison, more: str) -> tuple[Cell, ...]:
    even = even_line(side, found).partition(":")[0].replace(" a month", "") if side is not found.own else ""
    last = (Cell(text=even or "–"),) if found.owned else ()
    return (
        Cell(text=", ".join(each for each in (side.name, states(side)) if each), look="name", more=more),
        *(Cell(text=text, look="number") for text in figures(side)),
        *last,
    )


def _owning(found: Comparison) -> tuple[Part, ...]:
    lines = owned_lines(found)
    return (Lines(lines=lines[:1], strong=True), Lines(lines=lines[1:], listed=True)) if lines else ()
