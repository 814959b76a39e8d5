"""Watches a run from outside while it goes on: looks, keeps what it saw, says what should not be, asks for a stop."""

from __future__ import annotations

import json
import os
import signal
import threading
import time
from collections.abc import Callable, Hashable, Mapping
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any, Protocol

from tunekit.backends.base import STOP_GRACE, Process
from tunekit.backends.stacks import dump_stacks
from tunekit.launcher.checkpoints import SEAL, bytes_below
from tunekit.launcher.json_lines import JsonLines
from tunekit.launcher.outcome import Observed
from tunekit.launcher.progress import Progress, fold
from tunekit.launcher.run_dir import RunDir
from tunekit.launcher.stop_request import StopAsked, ask_to_stop
from tunekit.planner.plan import Plan
from tunekit.units import format_seconds
from tunekit.watch.findings import EVENT, Change, Finding, Noted, follow
from tunekit.watch.rules import Limits, find
from tunekit.watch.sample import HostSample, Sample
from tunekit.watch.silence import Silence, limit, listen
from tunekit.watch.stacks import stacks_text

MEMORY_SECONDS = 1.0
"""Between two looks at the RAM alone: it can be gone within one long interval, and looking costs 0.3 ms."""

Pids = Callable[[], Mapping[int, int]]
"""The ranks' process ids by rank."""


class Eyes(Protocol):
    """What looks at the machine: `tunekit.probes.sampling.Sampler`."""

    def look(self) -> Sample:
        """Everything now."""

    def memory(self) -> HostSample:
        """RAM and swap now."""

    def close(self) -> None:
        """Let go of what is held open."""


class Points(Protocol):
    """Where samples are drawn: `tunekit.backends.board.Board`."""

    def write(self, sample: Sample) -> None:
        """Add a sample."""

    def close(self) -> None:
        """Finish."""


class Watcher:
    """Call `tick` often: it looks when it is due. Nothing that it does raises, and what fails is said once."""

    def __init__(
        self,
        plan: Plan,
        run_dir: RunDir,
        eyes: Eyes,
        *,
        pids: Pids,
        say: Callable[[Finding, Progress], None],
        board: Points | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._plan = plan
        self._watch = plan.recipe.watch
        self._run_dir = run_dir
        self._eyes = eyes
        self._pids = pids
        self._say = say
        self._board = board
        self._clock = clock
        self._sources = (JsonLines(run_dir.events), JsonLines(run_dir.metrics))
        self._progress = Progress()
        self._noted = Noted()
        self._silence = Silence(since=clock())
        self._looked = self._looked_at_memory = clock()
        self._planned_bytes = planned_checkpoint_bytes(plan)
        self._faults: set[str] = set()

    def tick(self) -> None:
        """Look at what is due."""
        if self._watch.every_seconds is None:
            return
        now = self._clock()
        if now - self._looked >= self._watch.every_seconds:
            self._looked = self._looked_at_memory = now
            self._guarded(self._look)
            self._guarded(self._listen)
        elif now - self._looked_at_memory >= MEMORY_SECONDS:
            self._looked_at_memory = now
            self._guarded(self._look_at_memory)

    def close(self) -> None:
        """The run has ended."""
        self._guarded(self._eyes.close)
        if self._board is not None:
            self._guarded(self._board.close)

    @property
    def progress(self) -> Progress:
        """How far the run was at the last look."""
        return self._progress

    def _look(self) -> None:
        records = [record for source in self._sources for record in source.new()]
        self._progress = fold(self._progress, records)
        sample = replace(self._eyes.look(), step_seconds=self._progress.seconds_per_step)
        self._judge(find(sample, self._limits()))  # first: on a full drive nothing else may be possible
        append(self._run_dir.metrics, sample.record())
        if self._board is not None:
            self._board.write(sample)

    def _look_at_memory(self) -> None:
        sample = Sample(time=time.time(), host=self._eyes.memory())
        for finding in find(sample, self._limits()):
            if finding.name not in self._noted.said:
                self._judge((*self._noted.said.values(), finding))

    def _limits(self) -> Limits:
        return Limits(
            watch=self._watch,
            link=self._plan.hardware.link if self._plan.hardware.gpus else None,
            checkpoint_bytes=room_for_next(
                self._run_dir.checkpoints, planned=self._planned_bytes, keep=self._plan.job.keep_checkpoints
            ),
        )

    def _judge(self, found: tuple[Finding, ...]) -> None:
        self._noted, changes = follow(self._noted, found)
        for change, finding in changes:
            self._tell(change, finding)

    def _tell(self, change: Change, finding: Finding) -> None:
        """Ask first: on a full drive the words may not fit any more."""
        try:
            if finding.stops and change == "began":
                self._ask_to_stop(finding)
        finally:
            if change == "began":
                self._say(finding, self._progress)
            append(self._run_dir.events, {"event": EVENT, **finding.event(change), "time": round(time.time(), 3)})

    def _ask_to_stop(self, finding: Finding) -> None:
        """Steps look at the request; while data or model are loaded only a signal is heard."""
        try:
            ask_to_stop(self._run_dir, StopAsked(reason=finding.text, todo=finding.todo, save=finding.saves))
        finally:
            for pid in self._pids().values():
                with suppress(OSError):
                    os.kill(pid, signal.SIGTERM)

    def _listen(self) -> None:
        now = self._clock()
        was, self._silence = self._silence, listen(self._silence, self._sign(), now)
        if was.told and not self._silence.told:
            self._tell("ended", Finding(rule="silence", place="ranks", text="the ranks go on"))
        patience = limit(self._watch, self._progress.seconds_per_step)
        if patience is None or self._silence.told or now - self._silence.since < patience:
            return
        self._tell("began", self._name_the_silent(now - self._silence.since))
        self._silence = replace(self._silence, sign=self._sign(), told=True)  # a stack that is kept is no sign of life

    def _name_the_silent(self, seconds: float) -> Finding:
        stacks = dump_stacks(self._run_dir, self._pids())
        who, cure = stacks_text(stacks)
        return Finding(
            rule="silence",
            place="ranks",
            text=f"no sign of life for {format_seconds(seconds)} in phase {self._progress.phase}: "
            f"{who or 'no rank is there'}; stacks of all ranks: {self._run_dir.logs}/rank_*.stacks",
            todo=cure,
        )

    def _sign(self) -> Hashable:
        """Changes whenever any rank has done anything."""
        logs = sorted(self._run_dir.logs.glob("*")) if self._run_dir.logs.is_dir() else []
        return tuple(_age(path) for path in (self._run_dir.events, self._run_dir.checkpoints, *logs))

    def _guarded(self, work: Callable[[], None]) -> None:
        """The watch harms no run: a fault in it is said once, in the run's events."""
        try:
            work()
        except Exception as error:  # noqa: BLE001 - whatever it is
            text = f"the watch could not do all of its work ({type(error).__name__}: {error})"
            if text not in self._faults:
                self._faults.add(text)
                with suppress(OSError):
                    append(self._run_dir.events, {"event": "warning", "text": text, "time": round(time.time(), 3)})


class Watched:
    """A process whose every poll lets the watcher look when it is due. May be polled from two threads."""

    def __init__(self, process: Process, watcher: Watcher) -> None:
        self._process = process
        self._watcher = watcher
        self._lock = threading.RLock()
        self._over = False

    def poll(self) -> Observed | None:
        """None while the attempt runs."""
        with self._lock:
            observed = self._process.poll()
            if observed is None:
                self._watcher.tick()
            elif not self._over:
                self._over = True
                self._watcher.close()
            return observed

    def stop(self, *, grace: float = STOP_GRACE) -> None:
        """Ask the ranks to end; kill what lives after `grace` seconds."""
        with self._lock:
            self._process.stop(grace=grace)

    def kill(self) -> None:
        """End every process now."""
        with self._lock:
            self._process.kill()


def append(path: Path, record: Mapping[str, Any]) -> None:
    """One line, in one write: a rank appends to the same file."""
    with path.open("ab", buffering=0) as file:
        file.write(json.dumps(record, default=str).encode() + b"\n")


def planned_checkpoint_bytes(plan: Plan) -> int:
    """Bytes of one checkpoint as planned; 0 where none is planned."""
    planned = sum(term.disk_bytes for term in plan.memory.terms if term.name == "checkpoints")
    return planned // (plan.job.keep_checkpoints + 1)


def room_for_next(checkpoints: Path, *, planned: int, keep: int) -> int:
    """Bytes that the next checkpoint adds; while one is written its rest, and none before the old one has gone for it.

    Else a drive with room for all that a run keeps would be called full amid a save.
    """
    sizes = {path: bytes_below(path) for path in checkpoints.glob("checkpoint-*")}
    whole = max((size for path, size in sizes.items() if (path / SEAL).exists()), default=planned)
    return max(0, min(whole, (keep + 1) * whole - sum(sizes.values())))


def _age(path: Path) -> tuple[int, int]:
    """When it changed last, in nanoseconds, and its bytes; zeros where it is gone."""
    try:
        found = path.stat()
    except OSError:
        return 0, 0
    return found.st_mtime_ns, found.st_size
