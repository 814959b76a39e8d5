"""`RunResult`: how an attempt ended. Success is the worker's marker of this attempt, never an exit code alone."""

from __future__ import annotations

import json
import shutil
import signal
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

from tunekit.diagnosis.advice import Evidence, advice_for
from tunekit.diagnosis.cause import KILLED, Cause, find_cause
from tunekit.diagnosis.signature import Fault
from tunekit.diagnosis.signatures.starting import PEER_LOST
from tunekit.launcher.exit_codes import STOPPED, read_exit_code, signal_of, signal_text
from tunekit.launcher.json_lines import read_lines, read_record
from tunekit.launcher.logs import tail
from tunekit.launcher.run_dir import RunDir
from tunekit.launcher.stop_request import read_stop_request
from tunekit.launcher.told import all_ended_as_asked, launchers_words, told_by
from tunekit.planner.mending import Mend
from tunekit.planner.plan import Plan
from tunekit.secrecy import redact_json
from tunekit.units import MIB, format_bytes
from tunekit.watch import rules

FULL_BYTES = 16 * MIB
"""A drive with less free is full: no checkpoint and no log fits on it."""

Ending = Literal["done", "failed", "stopped"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Observed:
    """What the watcher saw of the processes. `failing_rank`: the first rank that was gone while others lived."""

    exit_code: int | None
    failing_rank: int | None = None
    failing_code: int | None = None
    """How that rank ended, as `Popen.returncode` says it (-9: signal 9); None: nobody looked in time."""
    oom_kills: int | None = None
    """Processes that the kernel's out-of-memory killer ended on this machine during the run; None: it does not say."""

    @property
    def failing_signal(self) -> int | None:
        """The signal that ended the first rank."""
        return None if self.failing_code is None or self.failing_code >= 0 else -self.failing_code


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
    signature: str = ""
    """Name of the signature that the cause has in the table; empty where none is known."""
    said: str = ""
    """The cause in a sentence, where a signature knows it."""
    fault: Fault | None = None
    """The memory that was too small, if it was that."""
    seen_bytes: int = 0
    """The most of it that was seen, with what was asked for in vain; 0 is unknown."""
    advice: str = ""
    mends: tuple[Mend, ...] = ()
    """Changes of the plan that were planned again with what failed, best first; where it was memory that failed."""
    success: Mapping[str, Any] = field(default_factory=dict)
    measured: Mapping[str, Any] = field(default_factory=dict)

    @property
    def ok(self) -> bool:
        """Whether the run finished and its result was verified."""
        return self.state == "done"


def read_result(run_dir: RunDir, plan: Plan, *, attempt: int, observed: Observed) -> RunResult:
    """Judge an attempt whose processes have all ended, from the files it left."""
    measured = read_record(run_dir.measured) or {}
    marker = success_marker(run_dir, attempt)
    if marker is not None:
        return RunResult(state="done", attempt=attempt, exit_code=observed.exit_code, success=marker, measured=measured)
    if run_dir.stop_request.exists() and not _failed_before_stop(run_dir):
        return _stopped(run_dir, attempt, measured)
    # A signal to one rank: the ranks agreed to end, and nobody wrote a request.
    if STOPPED in (observed.exit_code, observed.failing_code) and not _failed_beside_stop(run_dir, observed):
        return _stopped(run_dir, attempt, measured)
    # The same, where the peer that was lost was seen to end first.
    if all_ended_as_asked(run_dir, plan.job.batch.world_size, gone_first=observed.failing_rank):
        return _stopped(run_dir, attempt, measured)
    return _failed(run_dir, plan, attempt, observed)


def _failed_beside_stop(run_dir: RunDir, observed: Observed) -> bool:
    """Whether a rank failed by itself; one that lost its peer, which was asked to end amid no step, did not."""
    if not run_dir.failure.exists():
        return False
    failure = read_record(run_dir.failure) or {}
    lost = PEER_LOST.regex.search(str(failure.get("message", ""))) is not None
    return not lost or failure.get("rank") == observed.failing_rank


def success_marker(run_dir: RunDir, attempt: int) -> Mapping[str, Any] | None:
    """The worker's success marker, if it is whole and of this attempt."""
    marker = read_record(run_dir.success)
    return marker if marker is not None and marker.get("attempt", attempt) == attempt else None


def recorded_result(run_dir: RunDir) -> RunResult | None:
    """The result that was kept beside the run; None where there is none, or another program wrote it."""
    record = read_record(run_dir.result)
    if record is None:
        return None
    known = {name: record[name] for name in RunResult.__dataclass_fields__ if name in record}
    try:
        mends = tuple(Mend(**each) for each in known.pop("mends", ()))
        return RunResult(**{"attempt": 1, "exit_code": None, **known, "mends": mends})
    except TypeError:
        return None


def write_result(run_dir: RunDir, result: RunResult) -> None:
    """Keep the result beside the run, for `tunekit status` and `runs`; failure.json then names the same rank."""
    record = {name: value for name, value in asdict(result).items() if name not in ("success", "measured")}
    with suppress(OSError):  # on a full disk, or where the run was moved away, what is shown must do
        _write(run_dir.result, record)
        if result.state == "failed":
            _correct_failure(run_dir, result)


def _correct_failure(run_dir: RunDir, result: RunResult) -> None:
    """A surviving rank was first to write, or none could: the record becomes that of the rank that failed first."""
    written = read_record(run_dir.failure) or {}
    if result.failing_rank is None or written.get("rank") == result.failing_rank:
        return
    record = {
        "attempt": result.attempt,
        "rank": result.failing_rank,
        "signal": result.signal,
        "phase": result.phase,
        "type": "Error" if result.cause else KILLED,
        "message": result.cause[-1] if result.cause else result.reading,
        "traceback": "\n".join(result.cause),
        "time": written.get("time", time.time()),
    }
    _write(run_dir.failure, {**record, "consequence": written} if written else record)


def _write(path: Path, record: Mapping[str, Any]) -> None:
    temporary = path.with_suffix(".tmp")
    try:
        temporary.write_text(redact_json(json.dumps(record, indent=2)) + "\n")
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def last_phase(run_dir: RunDir) -> str | None:
    """The last phase that the worker announced and could fail in."""
    phases = [str(event.get("phase", "")) for event in read_lines(run_dir.events) if event.get("event") == "phase"]
    return next((phase for phase in reversed(phases) if phase != "stopped"), None)


def _failed_before_stop(run_dir: RunDir) -> bool:
    """A rank that fails after the stop request fails because the others have ended."""
    if not run_dir.failure.exists():
        return False
    return run_dir.failure.stat().st_mtime <= run_dir.stop_request.stat().st_mtime


def _stopped(run_dir: RunDir, attempt: int, measured: Mapping[str, Any]) -> RunResult:
    """Ended on request: a person's, or the watcher's, before the host's memory was full."""
    asked, events = read_stop_request(run_dir), read_lines(run_dir.events)
    full = bool(asked.reason) and any((event.get("rule"), event.get("stops")) == (rules.RAM, True) for event in events)
    return RunResult(
        state="stopped",
        attempt=attempt,
        exit_code=STOPPED,
        phase=last_phase(run_dir),
        said=asked.reason,
        fault="host memory" if full else None,
        seen_bytes=_most(run_dir, "host_bytes") if full else 0,
        advice=asked.todo,
        measured=measured,
    )


def _failed(run_dir: RunDir, plan: Plan, attempt: int, observed: Observed) -> RunResult:
    world_size = plan.job.batch.world_size
    cause = find_cause(
        told_by(run_dir, world_size),
        world_size=world_size,
        gone_first=observed.failing_rank,
        by_signal=observed.failing_signal is not None,
        otherwise=launchers_words(run_dir),
    )
    reading = _reading(observed, cause, full_drive(run_dir.path))
    number = _signal(observed, cause)
    failure = read_record(run_dir.failure) or {}
    advice = advice_for(evidence_of(run_dir, cause, reading, signal=number, oom_kills=observed.oom_kills), plan)
    return RunResult(
        state="failed",
        attempt=attempt,
        exit_code=observed.exit_code,
        signal=number,
        failing_rank=cause.rank,
        phase=str(failure["phase"]) if failure.get("phase") else last_phase(run_dir),
        reading=reading,
        cause=cause.lines,
        signature=advice.name,
        said=advice.said,
        fault=advice.fault,
        seen_bytes=advice.seen_bytes,
        advice=advice.text,
        mends=advice.mends,
        measured=read_record(run_dir.measured) or {},
    )


def evidence_of(
    run_dir: RunDir, cause: Cause, reading: str, *, signal: int | None, oom_kills: int | None = None
) -> Evidence:
    """What is known of a failure: the words around it, and the most memory that was seen."""
    at_the_end = (read_record(run_dir.failure) or {}).get("measured") or {}
    return Evidence(
        text="\n".join([*cause.lines, reading, *tail(run_dir.launcher_log, 20)]),
        signal=signal,
        oom_kills=oom_kills,
        host_bytes=_most(run_dir, "host_bytes"),
        gpu_bytes=max(at_the_end.get("device_bytes", 0), _most(run_dir, "gpu_bytes")),
    )


def _most(run_dir: RunDir, field: str) -> int:
    """The largest value of a field of the metrics; 0 where none has it."""
    return max((int(record.get(field, 0)) for record in read_lines(run_dir.metrics)), default=0)


def _signal(observed: Observed, cause: Cause) -> int | None:
    """The signal that ended the first rank; one that is gone without a word, and no exit code, was killed."""
    if observed.failing_code is not None and cause.rank == observed.failing_rank:
        return observed.failing_signal
    if cause.signal is not None:
        return cause.signal
    number = None if observed.exit_code is None else signal_of(observed.exit_code)
    return int(signal.SIGKILL) if number is None and cause.silent else number


def _reading(observed: Observed, cause: Cause, drive: str) -> str:
    """The exit code in words; a rank that is gone without a word was killed, whatever code its peer gave."""
    if observed.exit_code is None:
        text = "the processes ended while nobody was watching; their exit code is not known"
    else:
        text = read_exit_code(observed.exit_code).text
    number = _signal(observed, cause)
    if observed.failing_signal is not None:
        text = f"rank {cause.rank} was ended by {signal_text(observed.failing_signal)}"
    elif cause.silent and observed.exit_code is not None and signal_of(observed.exit_code) is not None:
        text = f"rank {cause.rank} was gone without a word ({text})"
    elif cause.silent and number is not None:
        peer = "" if observed.exit_code is None else " of its peer"
        text = f"rank {cause.rank} was gone without a word, as after {signal_text(number)} ({text}{peer})"
    if observed.oom_kills:
        text += f"; the kernel counted {observed.oom_kills} out-of-memory kill(s) during the run"
    return f"{text}; {drive}" if drive else text


def full_drive(path: Path) -> str:
    """What to say where the drive that holds `path` is full; empty where it is not, or the folder is gone."""
    try:
        free = shutil.disk_usage(path).free
    except OSError:
        return ""
    return f"No space left on device: the drive of {path} has {format_bytes(free)} free" if free < FULL_BYTES else ""
