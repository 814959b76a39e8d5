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

_WIDE = 64
STYLE = {"done": "green", "running": "cyan", "preparing": "cyan", "failed": "red", "lost": "red", "stopped": "yellow"}


def print_runs(console: Console, statuses: Sequence[RunStatus], *, folder: str) -> None:
    """One line per run, the newest first."""
    if not statuses:
        console.print(Text(f"No runs in {folder}; `tunekit launch RECIPE` starts one."), soft_wrap=True)
        return
    headings = ("run", "state", "step", "loss", "attempt", "changed")
    shown = len(headings) if console.width >= _WIDE else 4
    table = Table(box=box.SIMPLE_HEAD)
    for heading in headings[:shown]:
        table.add_column(heading, no_wrap=heading != "run", overflow="fold")
    for status in statuses:
        table.add_row(*_cells(status)[:shown])
    console.print(table)


def _cells(status: RunStatus) -> tuple[Text | str, ...]:
    return (
        Text(status.name),
        Text(status.state, style=STYLE[status.state]),
        step_text(status),
        "" if status.loss is None else f"{status.loss:.4f}",
        str(status.attempt),
        when_text(status.changed),
    )


def step_text(status: RunStatus) -> str:
    """`12/60`, or nothing before the first step."""
    return "" if status.step is None else f"{status.step}/{status.max_steps or '?'}"


def when_text(changed: float, *, now: float | None = None) -> str:
    """How long ago, in words."""
    if not changed:
        return ""
    return f"{format_seconds(max(0.0, (time.time() if now is None else now) - changed))} ago"
