"""Signs of life of one rank: a file that it touches, into which it writes its stack when it is asked by a signal."""

from __future__ import annotations

import ctypes
import faulthandler
import os
import time
from pathlib import Path
from typing import TextIO

from tunekit.watch.stacks import STACK_SIGNAL

TOUCH_SECONDS = 1.0
"""Between two touches: one takes microseconds on a local drive, and perhaps a millisecond on a network's."""
PR_SET_PTRACER = 0x59616D61
"""prctl(2): Yama lets this process, and those it starts, look into us; by itself only a parent may."""


class Signs:
    """Touch it wherever something was done. None of it may fail a run."""

    def __init__(self, path: Path) -> None:
        self._touched = time.monotonic()
        self._file = _open(path)
        if self._file is not None:
            faulthandler.register(STACK_SIGNAL, file=self._file, all_threads=True)
        let_watcher_look()

    def touch(self) -> None:
        """Say that this rank lives."""
        now = time.monotonic()
        if self._file is not None and now - self._touched >= TOUCH_SECONDS:
            self._touched = now
            os.utime(self._file.fileno())


def let_watcher_look() -> None:
    """Let the process that started the launcher read this one's stack, where the kernel asks for a permission."""
    watcher = _parent(os.getsid(0))
    if watcher is not None:
        ctypes.CDLL(None).prctl(PR_SET_PTRACER, ctypes.c_ulong(watcher), 0, 0, 0)


def _open(path: Path) -> TextIO | None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        return path.open("a")
    except OSError:
        return None


def _parent(pid: int) -> int | None:
    try:
        return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
    except (OSError, ValueError, IndexError):
        return None
