"""Watches an attempt to its end with the live view; Ctrl-C stops it gently, a second Ctrl-C at once."""

from __future__ import annotations

import time
from contextlib import suppress

from tunekit.backends.base import Process
from tunekit.launcher.outcome import Observed
from tunekit.render.live import LiveView

WATCH_SECONDS = 0.25
STOPPING = "stopping: a checkpoint is saved if due (Ctrl-C again kills)"
"""Short enough for 80 columns with the spinner before it and the time after it."""


def watch(process: Process, view: LiveView) -> Observed:
    """Show `process` until it ends. An interrupt asks the ranks to save and end, and does not propagate.

    Whatever else goes wrong here, no process is left behind that nobody watches.
    """
    try:
        return _to_the_end(process, view)
    except KeyboardInterrupt:
        return _stopped(process, view)
    except BaseException:
        _kill(process)
        raise


def _to_the_end(process: Process, view: LiveView) -> Observed:
    while (observed := process.poll()) is None:
        view.update()
        time.sleep(WATCH_SECONDS)
    view.update()
    return observed


def _stopped(process: Process, view: LiveView) -> Observed:
    view.interrupt(STOPPING)
    try:
        process.stop()
    except KeyboardInterrupt:
        _kill(process)
    view.update()
    observed = process.poll()
    return observed if observed is not None else Observed(exit_code=None)


def _kill(process: Process) -> None:
    """To the end, however often the user is impatient meanwhile."""
    while True:
        with suppress(KeyboardInterrupt):
            process.kill()
            return
