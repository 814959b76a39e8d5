"""Reading the logs of a run: which file is whose, and the traceback that came first."""

from __future__ import annotations

import re
from mmap import ACCESS_READ, mmap
from pathlib import Path

from tunekit.diagnosis.tracebacks import FATAL, LONGEST, TRACEBACK, first_traceback
from tunekit.launcher.run_dir import RunDir
from tunekit.secrecy import redact

_DEEPSPEED_NAME = re.compile(r"^\d+_rank(\d+)\.log$")
_LINE_BEFORE = 1 << 9
"""Above a destructor's traceback Python says that it is one."""
_TAIL_BYTES = 1 << 16
_LARGEST_LOG = 1 << 26
"""Of those that are read whole."""


def name_rank_logs(run_dir: RunDir) -> None:
    """Give deepspeed's `<time>_rank<K>.log` files their plain names; open files go on being written."""
    for path in sorted(run_dir.logs.glob("*_rank*.log")):
        if match := _DEEPSPEED_NAME.match(path.name):
            path.replace(run_dir.rank_log(int(match[1])))


def hide_secrets(run_dir: RunDir) -> None:
    """Take secrets out of the logs: native code and child processes write past the streams that hide them.

    In place: a log that is emptied first would be lost on a full drive, and with it why the run failed.
    """
    for path in run_dir.logs.glob("*.log"):
        if path.stat().st_size <= _LARGEST_LOG:
            text = path.read_text(encoding="utf-8", errors="surrogateescape")
            hidden = redact(text)
            if hidden != text:
                with path.open("r+b") as file:
                    file.write(hidden.encode("utf-8", errors="surrogateescape"))
                    file.truncate()


def find_rank_log(run_dir: RunDir, rank: int) -> Path | None:
    """The log of a rank, also where the run was started by launch.sh and nobody renamed it."""
    if run_dir.rank_log(rank).is_file():
        return run_dir.rank_log(rank)
    return max(run_dir.logs.glob(f"*_rank{rank}.log"), default=None)


def traceback_in(path: Path) -> str | None:
    """The first traceback in a log file, which may be larger than the memory."""
    if not path.stat().st_size:
        return None
    with path.open("rb") as file, mmap(file.fileno(), 0, access=ACCESS_READ) as text:
        found = (text.find(mark.encode()) for mark in (TRACEBACK, FATAL))
        start = next((place for place in found if place >= 0), None)
        if start is None:
            return None
        return first_traceback(text[max(0, start - _LINE_BEFORE) : start + LONGEST].decode(errors="replace"))


def tail(path: Path, count: int) -> list[str]:
    """The last `count` lines that are not blank, from the last 64 KiB; [] where there is no file.

    Of a progress bar, its present state.
    """
    lines = end_of(path).split("\n")
    shown = (line.rstrip().rpartition("\r")[2] for line in lines)
    return [line for line in shown if line.strip()][-count:]


def end_of(path: Path) -> str:
    """The last 64 KiB of a log, however long it is; empty where there is no file."""
    try:
        with path.open("rb") as file:
            file.seek(max(0, path.stat().st_size - _TAIL_BYTES))
            return file.read().decode(errors="replace")
    except OSError:
        return ""
