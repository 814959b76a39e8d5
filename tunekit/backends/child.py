"""A child process with a limit: its words go to a file, and whatever it started is gone when it is."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

POLL_SECONDS = 0.05
_BURIAL_SECONDS = 2.0


def run_child(
    argv: Sequence[str], *, env: Mapping[str, str], log: Path, limit: float, waiting: Callable[[], None]
) -> int | None:
    """The exit code, or None where `limit` seconds were up; `waiting` is called often meanwhile.

    The process leads a session of its own, which is killed in any case: no grandchild outlives this call. Where it is
    Python, a file named like a library in the user's folder is not imported in its place.
    """
    with log.open("wb") as output:
        popen = subprocess.Popen(
            argv,
            env={**env, "PYTHONSAFEPATH": "1"},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    deadline = time.monotonic() + limit
    try:
        while popen.poll() is None and time.monotonic() < deadline:
            waiting()
            time.sleep(POLL_SECONDS)
        return popen.poll()
    finally:
        with suppress(ProcessLookupError):
            os.killpg(popen.pid, signal.SIGKILL)
        _end_session(popen.pid)
        # A process that hangs in the kernel, on a drive that does not answer, cannot be buried yet.
        with suppress(subprocess.TimeoutExpired):
            popen.wait(_BURIAL_SECONDS)


def _end_session(leader: int) -> None:
    """Kill whoever is left of the session: ninja gives each compiler a process group of its own."""
    for folder in Path("/proc").glob("[0-9]*"):
        with suppress(ProcessLookupError, PermissionError):
            if os.getsid(int(folder.name)) == leader:
                os.kill(int(folder.name), signal.SIGKILL)
