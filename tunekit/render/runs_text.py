"""Runs as a table."""

from __future__ import annotations

import time
from collections.abc import Sequence

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from tunekit.launcher.state import RunStatus
from tunekit.units import format_seconds

_HEADINGS = ("run", "state", "step", "loss", "attempt", "changed")
_DISPENSABLE = ("attempt", "changed", "loss", "step")
"""Columns that a narrow terminal does without, in this order."""
QUIET_SECONDS = 60.0
"""Without a step, from which on that is what is told of a run that goes on."""
_ANY_WIDTH = 10_000
STYLE = {"done": "green", "running": "cyan", "preparing": "cyan", "failed": "red", "lost": "red", "stopped": "yellow"}


def print_runs(console: Console, statuses: Sequence[RunStatus], *, folder: str) -> None:
    """One line per run, the newest first."""
    if not statuses:
        console.print(Text(f"No runs in {folder}; `tunekit launch RECIPE` starts one."), soft_wrap=True)
        return
    console.print(_that_fits(statuses, console), crop=False)


def _that_fits(statuses: Sequence[RunStatus], console: Console) -> Table:
    """The table with as many columns as there is room for: names are copied, so they are never cut."""
    for count in range(len(_DISPENSABLE) + 1):
        table = _table(statuses, tuple(heading for heading in _HEADINGS if heading not in _DISPENSABLE[:count]))
        if console.measure(table, options=console.options.update(max_width=_ANY_WIDTH)).maximum <= console.width:
            break
    return table


def _table(statuses: Sequence[RunStatus], headings: tuple[str, ...]) -> Table:
    table = Table(box=box.SIMPLE_HEAD)
    for heading in headings:
        longest = max(len(status.name) for status in statuses) if heading == "run" else None
        table.add_column(heading, no_wrap=True, min_width=longest)
    for status in statuses:
        cells = dict(zip(_HEADINGS, _cells(status), strict=True))
        table.add_row(*(cells[heading] for heading in headings))
    return table


def _cells(status: RunStatus) -> tuple[Text | str, ...]:
    return (
        Text(status.name),
        Text(status.state, style=STYLE[status.state]),
        step_text(status),
        "" if status.loss is None else f"{status.loss:.4f}",
        str(status.attempt),
        "nobody watches" if status.unwatched_since is not None else news_text(status),
    )


def step_text(status: RunStatus) -> str:
    """`12/60`, or nothing before the first step."""
    return "" if status.step is None else f"{status.step}/{status.max_steps or '?'}"


def news_text(status: RunStatus) -> str:
    """When a run changed last; one that goes on without a step for long shows that, whatever else is written."""
    quiet = 0.0 if status.stepped is None else time.time() - status.stepped
    quiet_long = status.state == "running" and quiet >= QUIET_SECONDS
    return f"no step for {format_seconds(quiet)}" if quiet_long else when_text(status.changed)


def when_text(changed: float, *, now: float | None = None) -> str:
    """How long ago, in words."""
    if not changed:
        return ""
    return f"{format_seconds(max(0.0, (time.time() if now is None else now) - changed))} ago"
