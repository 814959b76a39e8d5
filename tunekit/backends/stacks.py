"""Asks ranks what they are doing: py-spy reads their stacks from outside; where that is forbidden they write them."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from tunekit.backends.processes import state_of
from tunekit.launcher.run_dir import RunDir
from tunekit.watch.stacks import STACK_SIGNAL, Frame, RankStack, as_text, read_faulthandler, read_py_spy

DUMP_SECONDS = 10.0
"""For py-spy on one rank; it takes a quarter of a second, and a rank with libraries on a slow drive a few."""
WRITE_SECONDS = 1.0
"""For a rank to write its own stack after the signal: it needs no lock, only a turn on a core."""


def dump_stacks(run_dir: RunDir, pids: Mapping[int, int]) -> tuple[RankStack, ...]:
    """The stacks of these ranks (rank: pid), also kept as text in the run directory."""
    return tuple(_dump(run_dir, rank, pid) for rank, pid in sorted(pids.items()))


def _dump(run_dir: RunDir, rank: int, pid: int) -> RankStack:
    state = state_of(pid) or "X"
    frames = () if state in "ZX" else ask_from_outside(pid)
    stack = RankStack(rank=rank, pid=pid, state=state, frames=frames)
    if frames:
        _keep(run_dir.rank_stacks(rank), stack)
    elif state not in "ZXTt":  # a halted one hears no signal
        stack = RankStack(rank=rank, pid=pid, state=state, frames=ask_itself(run_dir.rank_stacks(rank), pid))
    return stack


def ask_from_outside(pid: int) -> tuple[Frame, ...]:
    """By py-spy, which does not halt the process; () where it is not installed or not allowed to look."""
    command = _py_spy()
    if command is None:
        return ()
    argv = [command, "dump", "--nonblocking", "--json", "--pid", str(pid)]
    try:
        done = subprocess.run(argv, capture_output=True, timeout=DUMP_SECONDS, stdin=subprocess.DEVNULL, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return ()
    return read_py_spy(done.stdout.decode(errors="replace"), pid) if done.returncode == 0 else ()


def ask_itself(path: Path, pid: int) -> tuple[Frame, ...]:
    """By a signal that the rank answers with its stack in `path`; () where it does not answer in time."""
    before = _size(path)
    if before is None:  # it never said that it would answer: the signal would end it
        return ()
    with suppress(OSError):
        os.kill(pid, STACK_SIGNAL)
    deadline = time.monotonic() + WRITE_SECONDS
    size = before
    while time.monotonic() < deadline:
        time.sleep(0.05)
        earlier, size = size, _size(path) or 0
        if before < size == earlier:
            break
    with path.open("rb") as file:
        file.seek(before)
        return read_faulthandler(file.read().decode(errors="replace"))


def _py_spy() -> str | None:
    """Beside this Python, else anywhere."""
    beside = Path(sys.executable).with_name("py-spy")
    return str(beside) if beside.exists() else shutil.which("py-spy")


def _keep(path: Path, stack: RankStack) -> None:
    with suppress(OSError), path.open("a") as file:
        file.write(
            f"{time.strftime('%Y-%m-%d %H:%M:%S')}  pid {stack.pid}, state {stack.state}, innermost call first\n"
        )
        file.write(as_text(stack.frames))


def _size(path: Path) -> int | None:
    try:
        return path.stat().st_size
    except OSError:
        return None
