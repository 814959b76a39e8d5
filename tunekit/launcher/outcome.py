"""`RunResult`: how an attempt ended. Success is the worker's marker of this attempt, never an exit code alone."""

from __future__ import annotations

import json
import signal
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from tunekit.launcher.advice import advice_for
from tunekit.launcher.cause import Cause, find_cause
from tunekit.launcher.exit_codes import STOPPED, read_exit_code, signal_of
from tunekit.launcher.json_lines import read_lines, read_record
from tunekit.launcher.logs import tail
from tunekit.launcher.run_dir import RunDir

Ending = Literal["done", "failed", "stopped"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Observed:
    """What the watcher saw of the processes. `failing_rank`: the first rank that was gone while others lived."""

    exit_code: int | None
    failing_rank: int | None = None
    oom_kills: int = 0
    """Processes that the kernel's out-of-memory killer ended on this machine during the run."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunResult:
    """How an attempt ended. `reading` says what the exit code means, `cause` the last lines of the first traceback."""

    state: Ending
    attempt: int
    exit_code: int | None
    signal: int | None = None
    failing_rank: int | None = None
    phase: str | None = None
    reading: str = ""
    cause: tuple[str, ...] = ()
    advice: str = ""
    success: Mapping[str, Any] = field(default_factory=dict)
    measured: Mapping[str, Any] = field(default_factory=dict)

    @property
    def ok(self) -> bool:
        """Whether the run finished and its result was verified."""
        return self.state == "done"


def read_result(run_dir: RunDir, *, attempt: int, world_size: int, observed: Observed) -> RunResult:
    """Judge an attempt whose processes have all ended, from the files it left."""
    measured = read_record(run_dir.measured) or {}
    marker = success_marker(run_dir, attempt)
    if marker is not None:
        return RunResult(state="done", attempt=attempt, exit_code=observed.exit_code, success=marker, measured=measured)
    if run_dir.stop_request.exists() and not _failed_before_stop(run_dir):
        return RunResult(
            state="stopped", attempt=attempt, exit_code=STOPPED, phase=last_phase(run_dir), measured=measured
        )
    return _failed(run_dir, attempt, world_size, observed, measured)


def success_marker(run_dir: RunDir, attempt: int) -> Mapping[str, Any] | None:
    """The worker's success marker, if it is whole and of this attempt."""
    marker = read_record(run_dir.success)
    return marker if marker is not None and marker.get("attempt", attempt) == attempt else None


def write_result(run_dir: RunDir, result: RunResult) -> None:
    """Keep the result beside the run, for `tunekit status` and `runs`."""
    record = {name: value for name, value in asdict(result).items() if name not in ("success", "measured")}
    temporary = run_dir.result.with_suffix(".tmp")
    temporary.write_text(json.dumps(record, indent=2) + "\n")
    temporary.replace(run_dir.result)


def last_phase(run_dir: RunDir) -> str | None:
    """The last phase the worker announced."""
    phases = [str(event.get("phase", "")) for event in read_lines(run_dir.events) if event.get("event") == "phase"]
    return phases[-1] if phases else None


def _failed_before_stop(run_dir: RunDir) -> bool:
    """A rank that fails after the stop request fails because the others have ended."""
    if not run_dir.failure.exists():
        return False
    return run_dir.failure.stat().st_mtime <= run_dir.stop_request.stat().st_mtime


def _failed(
    run_dir: RunDir, attempt: int, world_size: int, observed: Observed, measured: Mapping[str, Any]
) -> RunResult:
    cause = find_cause(run_dir, world_size=world_size, gone_first=observed.failing_rank)
    failure = read_record(run_dir.failure) or {}
    reading = _reading(observed, cause)
    evidence = "\n".join([*cause.lines, reading, *tail(run_dir.launcher_log, 20)])
    code = observed.exit_code
    return RunResult(
        state="failed",
        attempt=attempt,
        exit_code=code,
        signal=None if code is None else signal_of(code),
        failing_rank=cause.rank,
        phase=str(failure["phase"]) if failure.get("phase") else last_phase(run_dir),
        reading=reading,
        cause=cause.lines,
        advice=advice_for(evidence),
        measured=measured,
    )


def _reading(observed: Observed, cause: Cause) -> str:
    """The exit code in words; a rank that is gone without a word was killed, whatever code its peer gave."""
    if observed.exit_code is None:
        text = "the processes ended while nobody was watching; their exit code is not known"
    else:
        text = read_exit_code(observed.exit_code).text
    if cause.silent and (observed.exit_code is None or signal_of(observed.exit_code) is None):
        killed = read_exit_code(-signal.SIGKILL).text.partition(" = ")[2]
        text = f"rank {cause.rank} was gone without a word, as after {killed} ({text} of its peer)"
    if observed.oom_kills:
        text += f"; the kernel counted {observed.oom_kills} out-of-memory kill(s) during the run"
    return text
