"""What a rank writes for others to read: events.jsonl, metrics.jsonl, failure.json; and the same on its screen."""

from __future__ import annotations

import json
import os
import time
import traceback
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tunekit.launcher.environment import ATTEMPT_VARIABLE
from tunekit.launcher.run_dir import RunDir
from tunekit.secrecy import redact_json

if TYPE_CHECKING:
    from tunekit.worker.signs import Signs


class Journal:
    """The run's diary. Rank 0 writes events and metrics; every rank gives signs of life, any may write the failure."""

    def __init__(self, run_dir: RunDir, *, rank: int, signs: Signs | None = None) -> None:
        self.run_dir = run_dir
        self.rank = rank
        self.signs = signs
        self.phase = "start"
        self.started = time.monotonic()
        self.measure: Callable[[], dict[str, int]] | None = None

    def enter(self, phase: str) -> None:
        """A new phase of the run; a failure will name it."""
        self.phase = phase
        self.event("phase", phase=phase, seconds=round(self.seconds, 3))
        self.say(f"[{self.seconds:7.1f} s] {phase}")

    def alive(self) -> None:
        """A sign of life, for whoever watches from outside."""
        if self.signs is not None:
            self.signs.touch()

    def derived(self, name: str, value: Any) -> None:
        """A value the worker worked out itself."""
        self.event("derived", name=name, value=value)
        self.say(f"            {name} = {value}")

    def warn(self, text: str) -> None:
        """Something the user should know."""
        self.event("warning", text=text)
        self.say(f"            warning: {text}")

    def event(self, event: str, **fields: Any) -> None:
        """One line of events.jsonl."""
        self._append(self.run_dir.events, {"event": event, **fields, "time": time.time()})

    def metric(self, **fields: Any) -> None:
        """One line of metrics.jsonl."""
        self._append(self.run_dir.metrics, {**fields, "time": time.time()})

    def say(self, text: str) -> None:
        """One line on the screen of rank 0."""
        if self.rank == 0:
            print(text, flush=True)

    def last_words(self, text: str) -> None:
        """One line in this rank's own log."""
        print(text, flush=True)

    def failure(self, error: BaseException) -> None:
        """Keep `error` as the run's failure, unless another rank was first; print it in any case."""
        text = "".join(traceback.format_exception(error))
        with suppress(OSError):  # on a full disk neither the log nor the record can be written
            print(text, flush=True)
        record = {
            "attempt": int(os.environ.get(ATTEMPT_VARIABLE, "1")),
            "rank": self.rank,
            "phase": self.phase,
            "type": type(error).__name__,
            "message": str(error),
            "traceback": text,
            "measured": self._measured(),
            "time": time.time(),
        }
        with suppress(OSError):
            write_once(self.run_dir.failure, record)

    @property
    def seconds(self) -> float:
        """Seconds since the process read its plan."""
        return time.monotonic() - self.started

    def _measured(self) -> dict[str, int]:
        try:
            return self.measure() if self.measure is not None else {}
        except RuntimeError:  # a card that has failed answers nothing
            return {}

    def _append(self, path: Path, record: dict[str, Any]) -> None:
        if self.rank == 0:
            with path.open("a") as file:
                file.write(redact_json(json.dumps(record, default=str)) + "\n")


def write_json(path: Path, record: dict[str, Any]) -> None:
    """Write `record` so that a reader sees all of it or nothing."""
    temporary = _written_beside(path, record)
    temporary.replace(path)


def write_once(path: Path, record: dict[str, Any]) -> bool:
    """Write `record` unless `path` is there already; whether this call wrote it."""
    temporary = _written_beside(path, record)
    try:
        os.link(temporary, path)
    except FileExistsError:
        return False
    finally:
        temporary.unlink()
    return True


def _written_beside(path: Path, record: dict[str, Any]) -> Path:
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        temporary.write_text(redact_json(json.dumps(record, indent=2, default=str)) + "\n")
    except OSError:  # a full disk: nothing half-written stays
        temporary.unlink(missing_ok=True)
        raise
    return temporary
