"""The plan as a piece of HTML for notebooks: self-contained, escaped, legible on dark and on light pages."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from html import escape

from tunekit.planner.plan import Plan
from tunekit.render.plan_parts import (
    PYTHON_TRUST,
    Cell,
    facts,
    judge_rows,
    memory_columns,
    overrule_hint,
    short_decisions,
    shown_phases,
    title,
)
from tunekit.render.speed_parts import speed_lines
from tunekit.units import GIB, format_bytes

COLOURS = {"fits": "#2e7d32", "tight": "#b26a00", "rejected": "#c62828", "passes": "#2e7d32", "fails": "#c62828"}
"""Dark enough to carry white text, bright enough to be seen on black."""
_STYLE = (
    "<style>"
    ".tunekit{font-family:system-ui,sans-serif;font-size:13px;line-height:1.45;max-width:60em}"
    ".tunekit table{border-collapse:collapse;margin:.3em 0 .8em;color:inherit;background:none}"
    ".tunekit th,.tunekit td{text-align:left;vertical-align:top;padding:.15em 1em .15em 0;"
    "border-bottom:1px solid rgba(128,128,128,.3);color:inherit;background:none}"
    ".tunekit code{font-family:ui-monospace,monospace;color:inherit;background:rgba(128,128,128,.15);padding:0 .3em}"
    ".tunekit .n{text-align:right;font-variant-numeric:tabular-nums}"
    ".tunekit .b{color:#fff;border-radius:3px;padding:.1em .5em;font-weight:600}"
    ".tunekit .bar{display:inline-block;width:7em;height:.7em;background:rgba(128,128,128,.3);margin:0 .5em}"
    ".tunekit .bar span{display:block;height:100%}"
    ".tunekit summary{cursor:pointer;font-weight:600}"
    "</style>"
)


def plan_html(plan: Plan) -> str:
    """The plan as one `<div>`; every text from outside is escaped."""
    return "".join(("<div class='tunekit'>", _STYLE, *_parts(plan), "</div>"))


def _parts(plan: Plan) -> Iterator[str]:
    yield f"<p>{_badge(plan.verdict)} <b>{escape(title(plan))}</b><br>{escape(plan.reason)}</p>"
    yield _table((), ((f"<b>{escape(label)}</b>", escape(text)) for label, text in facts(plan)))
    yield _memory(plan)
    yield _judges(plan)
    yield _speed(plan)
    if plan.fixes:
        yield _fixes(plan)
    if plan.warnings:
        yield "<ul>" + "".join(f"<li>{escape(text)}</li>" for text in plan.warnings) + "</ul>"
    yield _decisions(plan)


def _badge(verdict: str) -> str:
    colour = COLOURS.get(verdict.split(" ")[0], "#616161")
    return f"<span class='b' style='background:{colour}'>{escape(verdict)}</span>"


def _table(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    top = "<tr>" + "".join(f"<th>{escape(name)}</th>" for name in head) + "</tr>" if head else ""
    body = "".join("<tr>" + "".join(f"<td>{cell}</td>" for cell in row) + "</tr>" for row in rows)
    return f"<table>{top}{body}</table>"


def _memory(plan: Plan) -> str:
    columns = memory_columns(plan)
    rows = [
        (phase, *(_cell(column.cells[index][1]) for column in columns))
        for index, phase in enumerate(shown_phases(plan))
    ]
    rows.append(("usable", *(escape(format_bytes(column.estimate.usable_bytes)) for column in columns)))
    return _table(("memory", *(column.title for column in columns)), rows)


def _cell(cell: Cell) -> str:
    filled = f"width:{min(100, round(100 * cell.share))}%;background:{COLOURS[cell.verdict]}"
    return f"{cell.bytes / GIB:,.1f} GiB<span class='bar'><span style='{filled}'></span></span>{cell.share:.0%}"


def _judges(plan: Plan) -> str:
    rows = [(row.name, escape(row.device), escape(row.host), _badge(row.verdict)) for row in judge_rows(plan)]
    table = _table(("judge", "GPU, GiB each", "host RAM, GiB", "says"), rows)
    return (
        f"{table}<p><small>{escape(plan.table.reading)} {escape(overrule_hint(plan, typed=PYTHON_TRUST))}</small></p>"
    )


def _speed(plan: Plan) -> str:
    first, *others = speed_lines(plan)
    return f"<p><b>{escape(first)}</b>{''.join(f'<br>{escape(line)}' for line in others)}</p>"


def _fixes(plan: Plan) -> str:
    rows = [
        (
            _badge("not enough" if fix.verdict == "rejected" else fix.verdict),
            escape(format_bytes(fix.saves_bytes)) if fix.saves_bytes else "",
            f"{fix.tokens_per_second:,.0f}" if fix.tokens_per_second else "",
            f"<code>{escape(fix.set)}</code><br>{escape(fix.note)}",
        )
        for fix in plan.fixes
    ]
    return _table(("then", "saves", "tokens/s", "set this, and what it costs"), rows)


def _decisions(plan: Plan) -> str:
    rows = (
        (f"<code>{escape(key)}</code>", escape(value), escape(reason)) for key, value, reason in short_decisions(plan)
    )
    return f"<details><summary>Decided for you</summary>{_table(('key', 'value', 'because'), rows)}</details>"
