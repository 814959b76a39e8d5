"""RUN/stop.request: the file that asks the ranks to end together, and why."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass

from tunekit.launcher.json_lines import read_record
from tunekit.launcher.run_dir import RunDir


@dataclass(frozen=True, slots=True, kw_only=True)
class StopAsked:
    """What a stop request says. `save`: a checkpoint is wanted, whether or not output.save_steps asks for any."""

    reason: str = ""
    todo: str = ""
    save: bool = False


def ask_to_stop(run_dir: RunDir, asked: StopAsked) -> bool:
    """Ask, unless somebody has asked already; whether this call did. OSError: the drive is full."""
    if run_dir.stop_request.exists():
        return False
    record = {"reason": asked.reason, "todo": asked.todo, "save": asked.save, "time": round(time.time(), 3)}
    temporary = run_dir.stop_request.with_suffix(".new")
    try:
        temporary.write_text(json.dumps(record) + "\n")
        temporary.replace(run_dir.stop_request)  # the ranks see all of it or nothing
    finally:
        temporary.unlink(missing_ok=True)
    return True


def read_stop_request(run_dir: RunDir) -> StopAsked:
    """What it says; nothing where a person has asked, or nobody."""
    record = read_record(run_dir.stop_request) or {}
    return StopAsked(
        reason=str(record.get("reason", "")), todo=str(record.get("todo", "")), save=record.get("save") is True
    )
