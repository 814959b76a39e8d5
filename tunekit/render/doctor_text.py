"""The doctor's report: good things take one line, bad ones say what, why and what to type; and the same as JSON."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby
from types import MappingProxyType
from typing import Any

from rich.console import Console
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from tunekit.doctor.finding import Finding, State
from tunekit.render.plain import without_trailing_spaces

MARKS: Mapping[State, tuple[str, str]] = MappingProxyType(
    {
        "ok": ("ok", "green"),
        "warning": ("warning", "yellow"),
        "blocks": ("BLOCKS", "bold red"),
        "cannot tell": ("unknown", "magenta"),
        "not needed": ("-", "dim"),
    }
)
_COUNTED: Mapping[State, str] = MappingProxyType(
    {"ok": "ok", "warning": "warning", "blocks": "blocking", "cannot tell": "unknown", "not needed": "not needed"}
)


def print_findings(console: Console, findings: Sequence[Finding], *, about: str, seconds: str) -> None:
    """Every finding by group, then what they come to. `about`: the recipe; empty for the machine alone."""
    with without_trailing_spaces(console):
        for group, members in groupby(findings, key=lambda finding: finding.group):
            console.print(Text(group, style="bold"))
            console.print(Padding(_table(tuple(members)), (0, 0, 0, 2)))
        console.print()
        console.print(Text(summary(findings, about=about, seconds=seconds)))


def summary(findings: Sequence[Finding], *, about: str, seconds: str) -> str:
    """`40 checks in 9 s: 27 ok, 3 warnings, …`, and whether anything blocks."""
    counts = Counter(finding.state for finding in findings)
    said = ", ".join(
        f"{counts[state]} {word}{'s' if state == 'warning' and counts[state] > 1 else ''}"
        for state, word in _COUNTED.items()
        if counts[state]
    )
    blocking = ", ".join(finding.title for finding in findings if finding.blocks)
    what = about or "training"
    end = f"{what} cannot run here: {blocking}." if blocking else f"Nothing stops {what} here."
    return f"{len(findings)} checks in {seconds}: {said}. {end}"


def findings_json(findings: Sequence[Finding], *, about: str) -> dict[str, Any]:
    """The same for scripts."""
    return {
        "format_version": 1,
        "about": about,
        "blocks": [finding.check for finding in findings if finding.blocks],
        "findings": [
            {
                "check": finding.check,
                "group": finding.group,
                "title": finding.title,
                "state": finding.state,
                "found": finding.found,
                "why": finding.why,
                "cure": finding.cure,
                "blocks": finding.blocks,
            }
            for finding in findings
        ],
    }


def warning_line(finding: Finding) -> str:
    """One line of a launch, before it starts; what the plan of a recipe warns of needs no name of a check."""
    head = "Warning:" if finding.group == "recipe" else f"Warning: {finding.title}:"
    return f"{head} {finding.found}" + (f"; {finding.cure}" if finding.cure else "")


def _table(findings: Sequence[Finding]) -> Table:
    table = Table.grid(padding=(0, 2, 0, 0))
    table.add_column(no_wrap=True, width=14)
    table.add_column(no_wrap=True, width=7)
    table.add_column(overflow="fold")
    for state, said, members in _rows(findings):
        mark, style = MARKS[state]
        title = members[0].title if len(members) == 1 else f"{len(members)} checks"
        table.add_row(Text(title), Text(mark, style=style), said)
    return table


def _rows(findings: Sequence[Finding]) -> Iterator[tuple[State, Text, Sequence[Finding]]]:
    """Each finding; those that are not needed for the same reason together, at the end."""
    idle: dict[str, list[Finding]] = {}
    for finding in findings:
        if finding.state == "not needed":
            idle.setdefault(finding.found, []).append(finding)
        else:
            yield finding.state, Text("\n").join(_lines(finding)), (finding,)
    for reason, members in idle.items():
        names = f" ({', '.join(member.title for member in members)})" if len(members) > 1 else ""
        yield "not needed", Text(f"{reason}{names}", style="dim"), members


def _lines(finding: Finding) -> Iterator[Text]:
    yield Text(finding.found)
    if finding.state in ("warning", "blocks"):
        yield Text(finding.why, style="italic")
    if finding.cure:
        yield Text.assemble(("→ ", "bold"), finding.cure)
