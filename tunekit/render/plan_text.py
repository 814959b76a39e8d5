"""The plan as text: verdict first, then what it costs where, who says so, what was decided, and what to change.

Colours only on a terminal; without one the text is plain ASCII. Written for 80 columns and more.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from rich.console import Console, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from tunekit.launcher.history import MeasuredBefore
from tunekit.planner.plan import Fix, Plan
from tunekit.render.plain import without_trailing_spaces
from tunekit.render.plan_parts import (
    PLAN_FLAGS,
    Cell,
    MemoryColumn,
    as_words,
    before_line,
    facts,
    judge_rows,
    largest_terms,
    memory_columns,
    needs_words,
    overrule_hint,
    short_decisions,
    shown_phases,
    title,
)
from tunekit.render.speed_parts import speed_lines, term_lines
from tunekit.render.term_list import term_list
from tunekit.speed.terms import SpeedEstimate
from tunekit.units import GIB, format_bytes

STYLES = {"fits": "green", "tight": "yellow", "rejected": "red", "passes": "green", "fails": "red"}
_TERMS_SHOWN = 5
_WIDEST_BAR = 20
_PHASE_WIDTH = 19
"""Columns of "first forward", of margin and of the gap after it."""


def render_plan(plan: Plan, console: Console, *, explain: bool = False, before: MeasuredBefore | None = None) -> None:
    """Print the plan; `explain` adds every memory term with its formula and every alternative that was not taken.

    `before` is a run that was the same or a similar job: what it measured stands beside the estimate.
    """
    with without_trailing_spaces(console):
        for part in _parts(plan, console, explain=explain, before=before):
            console.print(part, markup=False, highlight=False)


def _parts(plan: Plan, console: Console, *, explain: bool, before: MeasuredBefore | None) -> Iterator[RenderableType]:
    yield _headline(plan)
    yield Text(plan.reason + "\n")
    yield _grid(facts(plan))
    yield from section("Memory, expected GiB and share of usable", _memory(plan, console))
    if before is not None:
        yield from section("Measured before", _measured_before(plan, before))
    yield from section("Judges", _judges(plan))
    yield from section("Largest parts", _terms(plan))
    yield from section("Speed", _speed(plan, before))
    if plan.decisions:
        decisions = _decisions_in_full(plan) if explain else _decisions(plan)
        yield from section("Decided for you (write the key to overrule)", decisions)
    if plan.warnings:
        yield from section("Warnings", warnings_list(plan.warnings))
    if plan.fixes:
        yield from section(_fixes_title(plan), fixes_table(plan.fixes))
    elif plan.verdict == "rejected":
        yield from section("What to change", Text("Nothing that tunekit knows makes this fit a shipped machine."))
    if explain:
        yield from section("Every term: formula with its numbers, source", term_list(plan))
        if plan.speed is not None:
            yield from section("Every cost of a step: formula with its numbers, source", _costs(plan.speed))


def _headline(plan: Plan) -> Text:
    return Text.assemble((plan.verdict.upper(), f"bold {STYLES[plan.verdict]}"), "  ", (title(plan), "bold"))


def section(name: str, body: RenderableType) -> Iterator[RenderableType]:
    """A titled part of a page."""
    yield Text(f"\n{name}", style="bold")
    yield Padding(body, (0, 0, 0, 2))


def _grid(rows: tuple[tuple[str, str], ...]) -> Table:
    grid = Table.grid(padding=(0, 2, 0, 0))
    grid.add_column(style="bold", no_wrap=True)
    grid.add_column(overflow="fold")
    for label, text in rows:
        grid.add_row(label, text)
    return grid


def _table(*columns: str) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, header_style="dim")
    for name in columns:
        table.add_column(name, overflow="fold")
    return table


def _memory(plan: Plan, console: Console) -> Table:
    columns = memory_columns(plan)
    table = _table("", *(column.title for column in columns))
    width = min(_WIDEST_BAR, max(0, (console.width - _PHASE_WIDTH) // len(columns) - 16))
    for index, phase in enumerate(shown_phases(plan)):
        table.add_row(phase, *(_amount(column, index, width, console) for column in columns))
    table.add_row(
        Text("usable", "dim"), *(Text(f"{column.estimate.usable_bytes / GIB:8,.1f} GiB", "dim") for column in columns)
    )
    return table


def _measured_before(plan: Plan, before: MeasuredBefore) -> Table:
    estimates = {"GPU": plan.memory.device, "host": plan.memory.host}
    table = _table("peak", "measured", "in phase", "this plan")
    for peak in before.peaks:
        planned = estimates[peak.place].expected_bytes
        table.add_row(peak.place, format_bytes(peak.bytes), peak.phase, format_bytes(planned))
    outer = Table.grid()
    outer.add_row(table)
    outer.add_row(Text(before_line(before), style="dim"))
    return outer


def _amount(column: MemoryColumn, index: int, width: int, console: Console) -> Text:
    phase, cell = column.cells[index]
    worst = "bold" if phase == column.estimate.worst_phase else ""
    text = Text(f"{cell.bytes / GIB:8,.1f} ", style=worst)
    text.append(_bar(cell, width, console), style=STYLES[cell.verdict])
    return text.append(f" {cell.share:4.0%}", style=worst)


def _bar(cell: Cell, width: int, console: Console) -> str:
    fancy = console.is_terminal and not console.options.ascii_only
    full, empty, over = ("█", "░", "▶") if fancy else ("#", ".", ">")
    filled = min(width, round(cell.share * width))
    bar = full * filled + empty * (width - filled)
    return bar[:-1] + over if bar and cell.share > 1 else bar


def _judges(plan: Plan) -> Table:
    with_gpu = bool(plan.hardware.gpus)
    table = _table("", *(["GPU, GiB each"] if with_gpu else []), "host RAM, GiB", "says")
    for row in judge_rows(plan):
        style = STYLES.get(row.verdict, "dim")
        table.add_row(row.name, *([row.device] if with_gpu else []), row.host, Text(row.verdict, style))
    outer = Table.grid()
    outer.add_row(table)
    outer.add_row(Text(plan.table.reading, style="dim"))
    hint = overrule_hint(plan)
    if hint:
        outer.add_row(hint)
    return outer


def _terms(plan: Plan) -> Table:
    places = tuple(column for column in memory_columns(plan) if column.place != "disk")
    lists = [largest_terms(plan, column.place, _TERMS_SHOWN) for column in places]
    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, header_style="dim")
    for column in places:
        table.add_column(f"{column.title}, {column.estimate.worst_phase}", overflow="fold")
        table.add_column("GiB", justify="right")
    for row in range(max(map(len, lists), default=0)):
        cells: list[str] = []
        for column, terms in zip(places, lists, strict=True):
            term = terms[row] if row < len(terms) else None
            cells += [term.name, f"{term.bytes_in(column.place) / GIB:.1f}"] if term else ["", ""]
        table.add_row(*cells)
    return table


def _speed(plan: Plan, before: MeasuredBefore | None) -> Table:
    grid = Table.grid()
    grid.add_column(overflow="fold")
    first, *others = speed_lines(plan, before)
    grid.add_row(Text(first, style="bold" if plan.speed else ""))
    for line in others:
        grid.add_row(line)
    return grid


def _costs(speed: SpeedEstimate) -> Table:
    table = Table.grid(padding=(0, 2, 0, 0))
    table.add_column(justify="right", no_wrap=True)
    table.add_column(overflow="fold")
    for term in sorted(speed.terms, key=lambda term: -term.seconds):
        seconds, name, known, formula = term_lines(term, speed.step_seconds.expected)
        table.add_row(seconds, Text.assemble((name, "bold"), (f"  {known}", "dim")))
        table.add_row("", Padding(Text(formula, style="dim"), (0, 0, 0, 2)))
    return table


def _decisions(plan: Plan) -> Table:
    table = Table.grid(padding=(0, 2, 0, 0))
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold", style="dim")
    for key, value, reason in short_decisions(plan):
        table.add_row(Text.assemble(f"{key}=" if "*" not in key else f"{key}: ", (value, "bold")), reason)
    return table


def _decisions_in_full(plan: Plan) -> Table:
    table = Table.grid()
    table.add_column(overflow="fold")
    for decision in plan.decisions:
        table.add_row(Text.assemble(f"{decision.key}=", (decision.value, "bold")))
        table.add_row(Padding(Text(decision.reason), (0, 0, 0, 4)))
        for alternative in decision.rejected:
            table.add_row(Padding(Text(f"not {alternative}", style="dim"), (0, 0, 0, 4)))
    return table


def warnings_list(lines: tuple[str, ...]) -> Table:
    """Lines with a mark before each."""
    grid = Table.grid(padding=(0, 1, 0, 0))
    grid.add_column(style="yellow")
    grid.add_column(overflow="fold")
    for line in lines:
        grid.add_row("!", line)
    return grid


def _fixes_title(plan: Plan) -> str:
    return "What to change" if plan.verdict == "rejected" else "To be sure that it fits"


def fixes_table(fixes: tuple[Fix, ...], flags: Mapping[str, str] = PLAN_FLAGS) -> Table:
    """Changes with what they cost, and what is needed then."""
    fast = any(fix.tokens_per_second for fix in fixes)
    table = _table("then", *(["tokens/s"] if fast else []), "type this, what it costs, and what it needs")
    table.columns[-2].justify = "right" if fast else "left"
    for fix in fixes:
        verdict = Text("not enough" if fix.verdict == "rejected" else fix.verdict, STYLES[fix.verdict])
        rate = [f"{fix.tokens_per_second:,.0f}" if fix.tokens_per_second else "-"] if fast else []
        told = "\n".join(filter(None, (fix.note, needs_words(fix))))
        table.add_row(verdict, *rate, Text.assemble((as_words(fix.set, flags), "bold"), "\n", (told, "dim")))
    return table
