"""Runs as a table, and one run in detail."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from tunekit.launcher.checkpoints import Checkpoint
from tunekit.launcher.state import RunStatus
from tunekit.units import format_seconds

_STYLE = {"done": "green", "running": "cyan", "preparing": "cyan", "failed": "red", "lost": "red", "stopped": "yellow"}


def print_runs(console: Console, statuses: Sequence[RunStatus], *, folder: str) -> None:
    """One line per run, the newest first."""
    if not statuses:
        console.print(Text(f"No runs in {folder}; `tunekit launch RECIPE` starts one."), soft_wrap=True)
        return
    table = Table(box=box.SIMPLE_HEAD)
    for heading in ("run", "state", "step", "loss", "attempt", "changed"):
        table.add_column(heading)
    for status in statuses:
        table.add_row(
            Text(status.name),
            Text(status.state, style=_STYLE[status.state]),
            step_text(status),
            "" if status.loss is None else f"{status.loss:.4f}",
            str(status.attempt),
            when_text(status.changed),
        )
    console.print(table)


def print_status(
    console: Console, status: RunStatus, *, checkpoints: Sequence[Checkpoint], lines: Sequence[str] = ()
) -> None:
    """One run: state and progress, its checkpoints with what is wrong with them, and what it said at its end."""
    console.print(Text.assemble((status.name, "bold"), ": ", (status.state, _STYLE[status.state])))
    facts = {
        "step": step_text(status),
        "loss": "" if status.loss is None else f"{status.loss:.4f}",
        "phase": status.phase or "",
        "attempt": str(status.attempt),
        "changed": when_text(status.changed),
        "folder": status.path,
    }
    for name, value in facts.items():
        if value:
            console.print(Text(f"  {name:<11}{value}"), soft_wrap=True)
    for checkpoint in checkpoints:
        console.print(Text(f"  {checkpoint.path.name:<18} {checkpoint.fault or 'complete'}"), soft_wrap=True)
    for line in lines:
        console.print(Text(line), soft_wrap=True)


def status_json(status: RunStatus, checkpoints: Sequence[Checkpoint]) -> dict[str, Any]:
    """The same for scripts."""
    found = [{"path": str(item.path), "step": item.step, "fault": item.fault} for item in checkpoints]
    return {**asdict(status), "checkpoints": found}


def step_text(status: RunStatus) -> str:
    """`12/60`, or nothing before the first step."""
    return "" if status.step is None else f"{status.step}/{status.max_steps or '?'}"


def when_text(changed: float, *, now: float | None = None) -> str:
    """How long ago, in words."""
    if not changed:
        return ""
    return f"{format_seconds(max(0.0, (time.time() if now is None else now) - changed))} ago"
