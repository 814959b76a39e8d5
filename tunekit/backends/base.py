"""The seam to the outside: a backend starts a `LaunchRequest`; what it returns can be polled, stopped and killed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from tunekit.errors import UsageError
from tunekit.launcher.outcome import Observed
from tunekit.launcher.request import LaunchRequest
from tunekit.launcher.run_dir import RunDir

STOP_GRACE = 7.0
"""Seconds the ranks have at least to save and end after a stop request; they get more while they save."""


class Process(Protocol):
    """The processes of one attempt."""

    def poll(self) -> Observed | None:
        """None while the attempt runs; afterwards what was seen, with no process left. Does not block."""

    def stop(self, *, grace: float = STOP_GRACE) -> None:
        """Ask the ranks to save where a checkpoint is due and to end; kill what lives `grace` seconds later."""

    def kill(self) -> None:
        """End every process now; returns when none is left."""


class Backend(Protocol):
    """Where processes run. The request's files are written already."""

    def start(self, request: LaunchRequest, run_dir: RunDir) -> Process:
        """Start the request and return at once. MissingError: the command is not there."""


def _local() -> Backend:
    from tunekit.backends.local import LocalBackend

    return LocalBackend()


def _recording() -> Backend:
    from tunekit.backends.recording import RecordingBackend

    return RecordingBackend()


_BACKENDS: dict[str, Callable[[], Backend]] = {"local": _local, "recording": _recording}


def backend(name: str) -> Backend:
    """A backend by name; its module is imported now. UsageError: there is none of this name."""
    if name not in _BACKENDS:
        raise UsageError(f"backend {name!r}: allowed are {', '.join(_BACKENDS)}.")
    return _BACKENDS[name]()
