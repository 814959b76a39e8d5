"""The processes of a run: found again by session and start time, orphans by a mark; ended together.

deepspeed passes no signal on from its outer process and waits 30 s for one rank before it turns to the next, so the
ranks are signalled directly, all at once, and what is left is killed.
"""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import asdict, dataclass
from functools import partial
from typing import Literal

import psutil

from tunekit.launcher.environment import RUN_VARIABLE
from tunekit.launcher.json_lines import read_record
from tunekit.launcher.run_dir import RunDir

POLL_SECONDS = 0.1
KILL_SECONDS = 2.0


@dataclass(frozen=True, slots=True, kw_only=True)
class ProcessRecord:
    """The leader of a run's session. `started` is its start time in seconds since 1970, to tell it from a later pid."""

    pid: int
    started: float
    attempt: int


def record_process(run_dir: RunDir, pid: int, attempt: int) -> ProcessRecord:
    """Write down who runs, so that another terminal can find the processes."""
    record = ProcessRecord(pid=pid, started=_start_time(pid), attempt=attempt)
    run_dir.process.write_text(json.dumps(asdict(record)) + "\n")
    return record


def read_process(run_dir: RunDir) -> ProcessRecord | None:
    """The record of the latest attempt, or None where nothing was started."""
    found = read_record(run_dir.process)
    if found is None:
        return None
    return ProcessRecord(pid=int(found["pid"]), started=float(found["started"]), attempt=int(found["attempt"]))


def members(run_dir: RunDir, record: ProcessRecord | None) -> list[psutil.Process]:
    """Every living process of the run: those of its leader's session, orphans included."""
    if record is None:
        return []
    leader = _leader(record)
    if leader == "another":
        return []
    # A session whose leader has died may one day be another's; a process that is just being started has no mark yet.
    mark = str(run_dir.path) if leader == "gone" else None
    return [process for pid in psutil.pids() if _session(pid) == record.pid and (process := _living(pid, mark))]


def is_alive(run_dir: RunDir) -> bool:
    """Whether any process of the latest attempt lives, orphans included."""
    return bool(members(run_dir, read_process(run_dir)))


def ranks(processes: Iterable[psutil.Process]) -> dict[int, psutil.Process]:
    """The training processes by rank: those that carry a RANK which their parent does not carry."""
    numbers = {process.pid: (_rank(process), process) for process in processes}
    return {
        number: process
        for number, process in numbers.values()
        if number is not None and numbers.get(_parent(process), (None,))[0] is None
    }


def end_processes(run_dir: RunDir, record: ProcessRecord | None, *, grace: float) -> None:
    """Write the stop request, signal every rank at once, wait up to `grace` seconds, then kill all that is left."""
    run_dir.stop_request.write_text(f"{time.time():.0f}\n")
    alive = members(run_dir, record)
    training = ranks(alive)
    for process in training.values():
        _signal(process, signal.SIGTERM)
    if training:
        _wait_until(partial(_none_lives, training.values()), grace)
    kill_processes(run_dir, record)


def kill_processes(run_dir: RunDir, record: ProcessRecord | None) -> None:
    """Kill every process of the run, and again whatever was born meanwhile; returns when none is left."""
    deadline = time.monotonic() + KILL_SECONDS
    while (alive := members(run_dir, record)) and time.monotonic() < deadline:
        for process in alive:
            _signal(process, signal.SIGKILL)
        # psutil's own wait would take a child's exit code away from the Popen that started it.
        _wait_until(partial(_none_lives, alive), POLL_SECONDS)


def _wait_until(done: Callable[[], bool], seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while not done() and time.monotonic() < deadline:
        time.sleep(POLL_SECONDS)


def _leader(record: ProcessRecord) -> Literal["ours", "another", "gone"]:
    """Whose the leader's pid is now."""
    try:
        started = psutil.Process(record.pid).create_time()
    except psutil.NoSuchProcess:
        return "gone"
    return "ours" if abs(started - record.started) <= 1.0 else "another"


def _start_time(pid: int) -> float:
    try:
        return psutil.Process(pid).create_time()
    except psutil.NoSuchProcess:
        return time.time()


def _session(pid: int) -> int | None:
    try:
        return os.getsid(pid)
    except OSError:
        return None


def _living(pid: int, mark: str | None) -> psutil.Process | None:
    """The process, if it lives and, where there is a mark, carries it."""
    try:
        process = psutil.Process(pid)
        marked = mark is None or process.environ().get(RUN_VARIABLE) == mark
        return process if marked and process.status() != psutil.STATUS_ZOMBIE else None
    except psutil.Error:
        return None


def _rank(process: psutil.Process) -> int | None:
    try:
        number = process.environ().get("RANK", "")
    except psutil.Error:
        return None
    return int(number) if number.isdigit() else None


def _parent(process: psutil.Process) -> int:
    try:
        return process.ppid()
    except psutil.Error:
        return 0


def lives(pid: int) -> bool:
    """Whether a process is there and has not ended already, waiting to be buried by its parent."""
    try:
        return _lives(psutil.Process(pid))
    except psutil.NoSuchProcess:
        return False


def _none_lives(processes: Iterable[psutil.Process]) -> bool:
    return not any(_lives(process) for process in processes)


def _lives(process: psutil.Process) -> bool:
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.Error:
        return False


def _signal(process: psutil.Process, number: signal.Signals) -> None:
    # It may have ended meanwhile.
    with suppress(psutil.Error):
        process.send_signal(number)
