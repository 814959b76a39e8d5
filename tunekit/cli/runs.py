"""`tunekit runs`, `status`, `logs`, `stop`: the life of runs, told from their directories."""

from __future__ import annotations

import json as jsonlib
import sys
import time
from dataclasses import asdict
from pathlib import Path

import typer

from tunekit.backends.processes import is_alive, watcher_is_gone
from tunekit.errors import UsageError
from tunekit.launcher.logs import find_rank_log
from tunekit.launcher.run_dir import RunDir
from tunekit.launcher.state import read_status
from tunekit.run import RUNS, Run, find_run, runs_in

FOLLOW_SECONDS = 0.3
PIECE_BYTES = 1 << 20


def list_runs(folder: Path, *, json: bool) -> None:
    """Print the runs in a folder, the newest first. UsageError: there is no such folder."""
    if folder != RUNS and not folder.is_dir():
        raise UsageError(f"{folder} is not a folder; `tunekit runs [FOLDER]` lists the runs in it (default: {RUNS}/).")
    statuses = [
        read_status(run_dir, alive=is_alive(run_dir), unwatched=watcher_is_gone(run_dir)) for run_dir in runs_in(folder)
    ]
    statuses.sort(key=lambda status: status.changed, reverse=True)
    if json:
        typer.echo(jsonlib.dumps([asdict(status) for status in statuses], indent=2))
        return
    from rich.console import Console

    from tunekit.render.runs_text import print_runs

    print_runs(Console(highlight=False), statuses, folder=str(folder))


def show_status(name: str, *, json: bool) -> None:
    """Print one run: state, progress, measured against planned, how it ended, and what to type next."""
    from rich.console import Console

    from tunekit.render.run_report import print_report, report_json

    report = Run(name).report()
    if json:
        typer.echo(jsonlib.dumps(report_json(report), indent=2))
        return
    print_report(Console(highlight=False), report)


def print_logs(name: str, *, follow: bool, rank: int) -> None:
    """Print the log of one rank; with `follow` until the run ends. UsageError: there is no such log."""
    run_dir = find_run(name)
    offset = _print_from(run_dir, rank, 0)
    while follow and is_alive(run_dir):
        offset = _print_from(run_dir, rank, offset)
        time.sleep(FOLLOW_SECONDS)
    offset = _print_from(run_dir, rank, offset)
    if not offset and find_rank_log(run_dir, rank) is None:
        raise UsageError(_no_log(run_dir, rank))


def stop_run(name: str) -> None:
    """Stop a run and say what is left to go on from. UsageError: it does not run."""
    from rich.console import Console

    run = Run(name)
    status = run.status()
    if status.state not in ("preparing", "running"):
        raise UsageError(f"{run.path} does not run: it is {status.state}.")
    run.stop()
    run.show_result(Console(highlight=False))


def _print_from(run_dir: RunDir, rank: int, offset: int) -> int:
    """Print what a log holds beyond `offset` bytes, piece by piece; returns the new offset."""
    path = find_rank_log(run_dir, rank)
    if path is None:
        return offset
    with path.open("rb") as file:
        file.seek(offset)
        while piece := file.read(PIECE_BYTES):
            sys.stdout.buffer.write(piece)
            offset += len(piece)
    sys.stdout.flush()
    return offset


def _no_log(run_dir: RunDir, rank: int) -> str:
    ranks = [str(number) for number in range(64) if find_rank_log(run_dir, number) is not None]
    if ranks:
        return f"{run_dir.path} has no log of rank {rank}; there are logs of rank {', '.join(ranks)}."
    shown = run_dir.launcher_log if run_dir.launcher_log.exists() else run_dir.prepare_log
    return f"{run_dir.path}: no rank has started; what there is lies in {shown}."
