"""A plan as a page: the same words as the text view, with pictures."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from types import MappingProxyType

from tunekit.launcher.history import MeasuredBefore
from tunekit.memory.terms import MemoryTerm, Place
from tunekit.planner.answered import answered_yaml
from tunekit.planner.plan import Plan
from tunekit.recipe.loading import as_mapping, dump_yaml
from tunekit.render.fit_parts import duration
from tunekit.render.pages.bars import Charts
from tunekit.render.pages.memory_bars import memory_charts
from tunekit.render.pages.parts import Cell, Lines, Section, Table, Text, Tile, View, cells
from tunekit.render.pages.step_bars import step_chart
from tunekit.render.plan_parts import (
    as_words,
    facts,
    judge_rows,
    memory_columns,
    needs_words,
    overrule_hint,
    short_decisions,
    shown_phases,
    title,
)
from tunekit.render.speed_parts import format_step, speed_lines, told_first
from tunekit.render.term_list import kind_of, when
from tunekit.speed.terms import Band, SpeedEstimate
from tunekit.units import GIB, format_bytes, format_kwh

TRUST_FLAG = "--trust {judge}"
SECONDS = 3600


def plan_view(
    plan: Plan,
    *,
    trust_typed: str = TRUST_FLAG,
    priced: tuple[Section, ...] = (),
    before: MeasuredBefore | None = None,
    after: tuple[Section, ...] = (),
) -> View:
    """The page of a plan: `trust_typed` is typed to overrule a judge, `priced` tells what renting costs.

    `before` is a run that was the same or a similar job; `after` tells what to type next.
    """
    return View(
        badge=plan.verdict,
        title=title(plan),
        reason=plan.reason,
        tiles=tuple(plan_tiles(plan)),
        sections=tuple(_sections(plan, trust_typed, priced, before, after)),
    )


def _sections(
    plan: Plan,
    trust_typed: str,
    priced: tuple[Section, ...],
    before: MeasuredBefore | None,
    after: tuple[Section, ...],
) -> Iterator[Section]:
    if plan.warnings:
        yield Section(title="Warnings", parts=(Lines(lines=plan.warnings, listed=True),))
    if plan.fixes:
        yield fixes_section(plan)
    yield from after
    yield memory_section(plan)
    yield speed_section(plan, before)
    yield from priced
    yield judges_section(plan, trust_typed)
    yield from details(plan)
    yield from recipe_sections(plan)


def plan_tiles(plan: Plan) -> Iterator[Tile]:
    """The figures that decide: memory of each place, speed, time and energy."""
    for column in memory_columns(plan):
        estimate = column.estimate
        if column.place != "disk":
            yield Tile(
                name=column.title,
                value=format_bytes(estimate.expected_bytes),
                more=f"of {format_bytes(estimate.usable_bytes)} usable",
                state=max((cell.verdict for _, cell in column.cells), key=("fits", "tight", "rejected").index),
                share=min(1.0, estimate.expected_bytes / max(1, estimate.usable_bytes)),
            )
    if plan.speed is not None:
        rate = plan.speed.tokens_per_second
        yield Tile(name="Speed", value=f"{rate.expected:,.0f} tokens/s", more=f"{rate.low:,.0f} to {rate.high:,.0f}")
        yield _time_tile(plan, plan.speed)


def _time_tile(plan: Plan, speed: SpeedEstimate) -> Tile:
    what, hours, kwh = told_first(plan, speed)
    return time_tile(what, hours, kwh)


def time_tile(what: str, hours: Band, kwh: float) -> Tile:
    """What so many steps or tokens take."""
    low, expected, high = (duration(SECONDS * each) for each in (hours.low, hours.expected, hours.high))
    return Tile(name=what, value=expected, more=f"{low} to {high}, {format_kwh(kwh)}")


def memory_section(plan: Plan) -> Section:
    """Stacked bars per place."""
    return Section(title="Memory", parts=(Charts(charts=memory_charts(plan)),))


def speed_section(plan: Plan, before: MeasuredBefore | None = None) -> Section:
    """Where a step's time goes, and what it comes to; where nothing tells, what the same job measured."""
    first, *others = speed_lines(plan, before)
    if plan.speed is None:
        return Section(title="Speed", parts=(Lines(lines=(first,)),))
    return Section(
        title="Speed", parts=(Lines(lines=(first,), strong=True), step_chart(plan.speed), Lines(lines=tuple(others)))
    )


def judges_section(plan: Plan, trust_typed: str = TRUST_FLAG) -> Section:
    """Both judges, and what the table was read as."""
    rows = tuple(
        cells(row.name, row.device, row.host, Cell(text=row.verdict, look="badge"), look="number")
        for row in judge_rows(plan)
    )
    head = ("judge", "GPU, GiB each", "host RAM, GiB", "says")
    said = tuple(line for line in (plan.table.reading, overrule_hint(plan, typed=trust_typed)) if line)
    return Section(title="Judges", parts=(Table(caption="Both judges", head=head, rows=rows), Lines(lines=said)))


def fixes_section(plan: Plan, flags: Mapping[str, str] = MappingProxyType({})) -> Section:
    """What to change, in order; as keys of a recipe, or with a command's `flags` as it is typed."""
    fast = any(fix.tokens_per_second for fix in plan.fixes)
    rows = tuple(
        (
            Cell(text="not enough" if fix.verdict == "rejected" else fix.verdict, look="badge"),
            Cell(text=needs_words(fix) or "–"),
            *([Cell(text=f"{fix.tokens_per_second:,.0f}" if fix.tokens_per_second else "–", look="number")] * fast),
            Cell(text=as_words(fix.set, flags), look="code", more=fix.note),
        )
        for fix in plan.fixes
    )
    head = ("then", "needs then", *(["tokens/s"] * fast), f"{'type' if flags else 'set'} this, and what it costs")
    heading = "What to change" if plan.verdict == "rejected" else "To be sure that it fits"
    return Section(title=heading, parts=(Table(caption=heading, head=head, rows=rows),))


def details(plan: Plan) -> Iterator[Section]:
    """What stands behind the pictures, closed at first."""
    known = tuple(cells(label, text) for label, text in facts(plan))
    yield Section(title="What is planned", parts=(Table(caption="What is planned", rows=known),))
    decided = tuple(
        (Cell(text=key, look="code"), Cell(text=value), Cell(text=reason))
        for key, value, reason in short_decisions(plan)
    )
    if decided:
        table = Table(caption="Decided for you", head=("key", "value", "because"), rows=decided)
        yield Section(title="Decided for you", parts=(table,), open=False)
    yield Section(title="Memory by phase, as a table", parts=(_phases(plan),), open=False)
    yield Section(title="Every memory term", parts=tuple(_terms(plan)), open=False)
    if plan.speed is not None:
        yield Section(title="Every cost of a step", parts=(_costs(plan.speed),), open=False)


def _phases(plan: Plan) -> Table:
    columns = memory_columns(plan)
    rows = [
        cells(phase, *(_gib(column.cells[index][1].bytes) for column in columns), look="number")
        for index, phase in enumerate(shown_phases(plan))
    ]
    rows.append(cells("at most", *(_gib(column.estimate.high_bytes) for column in columns), look="number"))
    rows.append(cells("usable", *(_gib(column.estimate.usable_bytes) for column in columns), look="number"))
    head = ("phase", *(f"{column.title}, GiB" for column in columns))
    return Table(caption="Expected memory of each phase", head=head, rows=tuple(rows))


def _gib(count: int) -> str:
    return f"{count / GIB:,.1f}"


def _terms(plan: Plan) -> Iterator[Table]:
    head = ("term", "bytes", "stands", "known", "formula and source")
    for column in memory_columns(plan):
        rows = tuple(
            _term(plan, term, column.place)
            for term in sorted(plan.memory.terms, key=lambda each: -each.bytes_in(column.place))
            if term.bytes_in(column.place)
        )
        if rows:
            yield Table(caption=column.title, head=head, rows=rows)


def _term(plan: Plan, term: MemoryTerm, place: Place) -> tuple[Cell, ...]:
    size = Cell(text=format_bytes(term.bytes_in(place)), look="number")
    return cells(term.name, size, when(term, plan), kind_of(term), Cell(text=term.formula, more=term.source))


def _costs(speed: SpeedEstimate) -> Table:
    whole = speed.step_seconds.expected
    rows = tuple(
        cells(
            term.name,
            Cell(text=format_step(term.seconds), look="number"),
            Cell(text=f"{term.seconds / whole:.0%}", look="number"),
            term.kind,
            Cell(text=term.formula, more=term.source),
        )
        for term in sorted(speed.terms, key=lambda each: -each.seconds)
    )
    return Table(caption="Costs of a step", head=("cost", "time", "share", "known", "formula and source"), rows=rows)


def recipe_sections(plan: Plan) -> Iterator[Section]:
    """The recipe as asked, and with every answer written out."""
    asked = Text(name="recipe.yaml", text=dump_yaml(as_mapping(plan.recipe, written_only=True)))
    yield Section(title="Recipe", parts=(asked,))
    answered = Text(name="recipe.resolved.yaml", text=answered_yaml(plan))
    yield Section(title="Recipe with every answer written out", parts=(answered,), open=False)
