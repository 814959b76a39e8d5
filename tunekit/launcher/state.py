"""The state of a run, told from its files and from whether its processes live."""

from __future__ import annotations

import re
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from tunekit.errors import RunFailed, UsageError
from tunekit.launcher.attempts import all_metrics, last_attempt
from tunekit.launcher.json_lines import Record, read_lines, read_record
from tunekit.launcher.metrics import has_steps
from tunekit.launcher.outcome import success_marker
from tunekit.launcher.run_dir import RunDir
from tunekit.planner.plan import Plan
from tunekit.planner.plan_json import plan_from_json
from tunekit.watch.sample import KIND

UNWATCHED_SECONDS = 60.0
"""Without a look of the watch, after which nobody watches; a busy machine may keep it from one."""
LOOKS_MISSED = 3
"""Looks in a row that the watch may miss."""

State = Literal["preparing", "running", "done", "failed", "stopped", "lost"]


@dataclass(frozen=True, slots=True, kw_only=True)
class RunStatus:
    """One line about a run, with the newest step and loss that are known of any attempt.

    Times are seconds since 1970: `changed`, when its files changed last; `stepped`, when the attempt that goes on
    logged a step last; `unwatched_since`, when the program that watched it looked last, where it looks no more.
    """

    name: str
    path: str
    state: State
    attempt: int
    step: int | None = None
    max_steps: int | None = None
    loss: float | None = None
    phase: str | None = None
    changed: float = 0.0
    stepped: float | None = None
    unwatched_since: float | None = None


def is_run(run_dir: RunDir) -> bool:
    """Whether the folder is a run directory."""
    return run_dir.plan.is_file() and run_dir.launch.is_file()


def read_plan(run_dir: RunDir) -> Plan:
    """The plan that is run. RunFailed: the folder is no longer where it was; UsageError: plan.json is damaged."""
    try:
        return plan_from_json(run_dir.plan.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        gone = f"{run_dir.path} was moved or deleted while the run was going on. Its processes have ended."
        raise RunFailed(gone) from error
    except UnicodeDecodeError as error:
        what = f"byte {error.start} ({error.object[error.start]:#04x}) is not UTF-8"
        raise UsageError(f"{run_dir.plan}: this is not a plan that tunekit wrote: {what}") from error
    except UsageError as error:
        raise UsageError(f"{run_dir.plan}: {error}") from error


def archived_attempt(folder: RunDir) -> tuple[RunDir, int] | None:
    """The run and the number of the attempt that a folder keeps; None where it keeps none."""
    name, parent = re.fullmatch(r"attempt_(\d+)", folder.path.name), RunDir(folder.path.parent)
    return (parent, int(name[1])) if name and folder.path.is_dir() and is_run(parent) else None


def plan_of_attempt(run_dir: RunDir, number: int) -> Plan:
    """The plan of an earlier attempt: one without a plan of its own had that of the next."""
    later = (RunDir(run_dir.attempt(each)) for each in range(number, last_attempt(run_dir)))
    return read_plan(next((folder for folder in later if folder.plan.is_file()), run_dir))


def read_status(run_dir: RunDir, *, alive: bool, unwatched: bool = False) -> RunStatus:
    """`alive`: whether any process of the latest attempt lives; `unwatched`: whether who started it has ended."""
    records = read_lines(run_dir.metrics)
    now = next((record for record in reversed(records) if "loss" in record), {})
    last = now or next((record for record in reversed(all_metrics(run_dir)) if "loss" in record), {})
    phases = [record for record in read_lines(run_dir.events) if record.get("event") == "phase"]
    return RunStatus(
        name=run_dir.path.name,
        path=str(run_dir.path),
        state=read_state(run_dir, alive=alive),
        attempt=last_attempt(run_dir),
        step=last.get("step"),
        max_steps=last.get("max_steps"),
        loss=last.get("loss"),
        phase=str(phases[-1]["phase"]) if phases and "phase" in phases[-1] else None,
        changed=_changed(run_dir),
        stepped=now.get("time") if alive else None,
        unwatched_since=_unwatched_since(run_dir, records, known=unwatched) if alive else None,
    )


def _unwatched_since(run_dir: RunDir, records: Sequence[Record], *, known: bool) -> float | None:
    """When the watch looked last, by its samples, or when the ranks were started; None while it looks.

    `known`: nobody watches; else it is told by looks that were missed, as those of a program that is frozen are. None
    too where a stop is waited for, and before the ranks start: without who watches they never will.
    """
    if run_dir.stop_request.exists():
        return None
    looks = (record.get("time") for record in reversed(records) if record.get("kind") == KIND)
    looked = next((float(when) for when in looks if isinstance(when, (int, float))), None)
    if looked is None:
        return run_dir.launch.stat().st_mtime if known and run_dir.launcher_log.exists() else None
    return looked if known or _looks_no_more(run_dir, looked) else None


def _looks_no_more(run_dir: RunDir, looked: float) -> bool:
    every = (read_record(run_dir.plan) or {}).get("recipe", {}).get("watch", {}).get("every_seconds")
    watches = isinstance(every, (int, float))
    return watches and time.time() - looked >= max(UNWATCHED_SECONDS, LOOKS_MISSED * every)


def read_state(run_dir: RunDir, *, alive: bool) -> State:
    """done by the marker; running or preparing while a process lives; else by what was recorded; else lost."""
    if alive:
        return "running" if has_steps(run_dir) else "preparing"
    if success_marker(run_dir, last_attempt(run_dir)) is not None:
        return "done"
    recorded = (read_record(run_dir.result) or {}).get("state")
    if recorded in ("failed", "stopped"):
        return "failed" if recorded == "failed" else "stopped"
    if run_dir.failure.exists():
        return "failed"
    return "stopped" if run_dir.stop_request.exists() else "lost"


def _changed(run_dir: RunDir) -> float:
    files = (run_dir.launch, run_dir.metrics, run_dir.events, run_dir.success, run_dir.result)
    return max((path.stat().st_mtime for path in files if path.exists()), default=0.0)


def holds_work(run_dir: RunDir) -> bool:
    """Whether anything was trained in it: steps, checkpoints or a result."""
    return has_steps(run_dir) or any(path.exists() for path in (run_dir.checkpoints, run_dir.final, run_dir.success))
