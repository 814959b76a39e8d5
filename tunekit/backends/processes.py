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
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Literal

import psutil

from tunekit.backends.patience import wait_for_end
from tunekit.launcher.environment import RUN_VARIABLE
from tunekit.launcher.json_lines import read_record
from tunekit.launcher.run_dir import RunDir
from tunekit.launcher.stop_request import StopAsked, ask_to_stop

POLL_SECONDS = 0.1
KILL_SECONDS = 2.0
BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
_START_TICKS, _EXIT_STATUS = 19, 49
"""Places in /proc/PID/stat, counted from the state on."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ProcessRecord:
    """The leader of a run's session, and who watches it; `started` tells a process from a later one with its pid.

    See `start_mark`. `watcher` is None where the record is of a version that did not write it.
    """

    pid: int
    started: str
    attempt: int
    watcher: int | None = None
    watcher_started: str = ""


def record_process(run_dir: RunDir, pid: int, attempt: int) -> ProcessRecord:
    """Write down who runs and that this process watches, so that another terminal can find the processes."""
    watcher = os.getpid()
    record = ProcessRecord(
        pid=pid,
        started=start_mark(pid) or "",
        attempt=attempt,
        watcher=watcher,
        watcher_started=start_mark(watcher) or "",
    )
    run_dir.process.write_text(json.dumps(asdict(record)) + "\n")
    return record


def read_process(run_dir: RunDir) -> ProcessRecord | None:
    """The record of the latest attempt, or None where nothing was started."""
    match read_record(run_dir.process):
        case {"pid": int(pid), "started": str(started), "attempt": int(attempt), **more}:
            record = ProcessRecord(pid=pid, started=started, attempt=attempt)
            match more:
                case {"watcher": int(watcher), "watcher_started": str(since)}:
                    return replace(record, watcher=watcher, watcher_started=since)
            return record
    return None


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


def watcher_is_gone(run_dir: RunDir) -> bool:
    """Whether the program that started the latest attempt has ended, however: nobody looks after the run."""
    record = read_process(run_dir)
    return record is not None and record.watcher is not None and start_mark(record.watcher) != record.watcher_started


def reap_orphans(run_dir: RunDir, *, grace: float) -> int:
    """End what is left of a run whose leader is gone, and say how many: nobody would notice its end, or its failure.

    Whoever watches a run does so when the leader ends. Where nobody watches, the next command that looks at it does.
    Ranks that are all there still may save for `grace` seconds; one that has lost another only waits for it.
    """
    record = read_process(run_dir)
    if record is None or _leader(record) == "ours":
        return 0
    left = members(run_dir, record)
    if left and len(ranks(left)) == _planned_ranks(run_dir):
        end_processes(run_dir, record, grace=grace, reason="its deepspeed command was gone, and nobody watched it")
    elif left:
        kill_processes(run_dir, record)
    return len(left)


def ranks(processes: Iterable[psutil.Process]) -> dict[int, psutil.Process]:
    """The training processes by rank: those that carry a RANK which their parent does not carry."""
    numbers = {process.pid: (_rank(process), process) for process in processes}
    return {
        number: process
        for number, process in numbers.values()
        if number is not None and numbers.get(_parent(process), (None,))[0] is None
    }


def end_processes(run_dir: RunDir, record: ProcessRecord | None, *, grace: float, reason: str = "") -> None:
    """Ask to stop, where nobody has; signal every rank at once, wait for `grace` seconds, kill all that is left.

    Longer where a micro-batch takes longer, and as long as a checkpoint is being written: see `wait_for_end`.
    """
    with suppress(OSError):  # on a full disk, or where the run was moved away, the signal has to do
        ask_to_stop(run_dir, StopAsked(reason=reason))
    alive = members(run_dir, record)
    training = ranks(alive)
    for process in training.values():
        _signal(process, signal.SIGTERM)
    if training:
        wait_for_end(run_dir, partial(_none_lives, training.values()), grace=grace)
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


def _planned_ranks(run_dir: RunDir) -> int | None:
    match read_record(run_dir.plan):
        case {"job": {"batch": {"world_size": int(count)}}}:
            return count
    return None


def _leader(record: ProcessRecord) -> Literal["ours", "another", "gone"]:
    """Whose the leader's pid is now."""
    started = start_mark(record.pid)
    if started is None:
        return "gone"
    return "ours" if started == record.started else "another"


def start_mark(pid: int) -> str | None:
    """When the process started, as this boot's id and its ticks since boot; None where there is no such process.

    Not the time of day, which may jump: a run would be taken for lost when the clock is set.
    """
    fields = _stat(pid)
    return None if fields is None else f"{BOOT_ID.read_text().strip()}/{fields[_START_TICKS]}"


def exit_code_of(pid: int) -> int | None:
    """How a process ended whose parent has not asked yet, as `Popen.returncode` says it; None when it is too late."""
    fields = _stat(pid)
    if fields is None or fields[0] != "Z":
        return None
    return os.waitstatus_to_exitcode(int(fields[_EXIT_STATUS]))


def state_of(pid: int) -> str | None:
    """The letter of what a process does (proc(5)): R, S, D, T, Z, …; None where there is no such process."""
    fields = _stat(pid)
    return None if fields is None else fields[0]


def _stat(pid: int) -> list[str] | None:
    """The fields of /proc/PID/stat after the name, which may hold spaces and brackets (proc(5))."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None


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
