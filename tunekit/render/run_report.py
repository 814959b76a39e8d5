"""One run in detail: how far it is, what was measured against the plan, how it ended, and what to type next."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.text import Text

from tunekit.backends.output import command_anew
from tunekit.launcher.attempts import all_metrics
from tunekit.launcher.checkpoints import Checkpoint
from tunekit.launcher.json_lines import read_record
from tunekit.launcher.outcome import Observed, RunResult, read_result, recorded_result, success_marker
from tunekit.launcher.progress import CURVE, Progress, fold
from tunekit.launcher.run_dir import RunDir
from tunekit.launcher.state import RunStatus
from tunekit.launcher.story import Chapter
from tunekit.planner.plan import Plan
from tunekit.render.diagnosis_text import ending_text, explain_result
from tunekit.render.live import PHASE_WORDS
from tunekit.render.runs_text import STYLE, news_text, step_text, when_text
from tunekit.render.speed_parts import format_step
from tunekit.render.summary import (
    MeasuredPeak,
    measured_peaks,
    print_peaks,
    result_line,
    sample_table,
    samples_of,
    seen_peaks,
    short_path,
    tensorboard_lines,
    told_of,
)
from tunekit.units import format_seconds

_LOST = "Its processes are gone and left no word: a power cut, or `kill -9` of all of them."


@dataclass(frozen=True, slots=True, kw_only=True)
class RunReport:
    """What `tunekit status` tells. `ending` is None while it runs and where it is done; `next` are commands to type."""

    status: RunStatus
    checkpoints: tuple[Checkpoint, ...]
    peaks: tuple[MeasuredPeak, ...]
    tokens_per_second: float | None
    seconds_per_step: float | None
    seconds_left: float | None
    """To the last step at the recent speed; None where it does not run."""
    samples: tuple[Mapping[str, Any], ...]
    ending: RunResult | None
    explained: tuple[str, ...]
    """The ending in lines of text."""
    result: str
    next: tuple[str, ...]
    story: tuple[Chapter, ...] = ()
    """Every attempt, where there was more than one."""


def build_report(run_dir: RunDir, plan: Plan, status: RunStatus, checkpoints: Sequence[Checkpoint]) -> RunReport:
    """Everything about a run, from its files."""
    metrics = all_metrics(run_dir)
    progress = fold(Progress(), metrics[-CURVE:])
    success = success_marker(run_dir, status.attempt) or {}
    done = status.state == "done"
    measured = read_record(run_dir.measured) if done else None
    ending = ending_of(run_dir, plan, status)
    return RunReport(
        status=status,
        checkpoints=tuple(checkpoints),
        peaks=measured_peaks(plan, measured) if measured else seen_peaks(plan, metrics),
        tokens_per_second=success.get("tokens_per_second") or progress.tokens_per_second,
        seconds_per_step=progress.seconds_per_step,
        seconds_left=progress.seconds_left if status.state == "running" else None,
        samples=samples_of(success, run_dir) if done else (),
        ending=ending,
        explained=_explained(ending, run_dir, plan),
        result=result_line(plan, success, run_dir) if done else "",
        story=told_of(run_dir, going=status.state in ("running", "preparing")),
        next=_next(run_dir, plan, status, resumable=any(checkpoint.complete for checkpoint in checkpoints)),
    )


def print_report(console: Console, report: RunReport) -> None:
    """The report as text."""
    status = report.status
    console.print(Text.assemble((status.name, "bold"), ": ", (status.state, STYLE[status.state])), soft_wrap=True)
    for name, value in _facts(report).items():
        if value:
            console.print(Text(f"  {name:<11}{value}"), soft_wrap=True)
    for chapter in report.story:
        console.print(Text(f"  {chapter}"), soft_wrap=True)
    for checkpoint in report.checkpoints:
        console.print(Text(f"  {checkpoint.path.name:<18} {checkpoint.fault or 'complete'}"), soft_wrap=True)
    print_peaks(console, report.peaks)
    for sample in report.samples:
        console.print(sample_table(sample))
    for line in (*_ending_lines(report), report.result, *(f"Next:   {command}" for command in report.next)):
        if line:
            console.print(Text(line), soft_wrap=True)


def report_json(report: RunReport) -> dict[str, Any]:
    """The same for scripts. Bytes and seconds are numbers; what is not known is null or empty."""
    checkpoints = [{"path": str(item.path), "step": item.step, "fault": item.fault} for item in report.checkpoints]
    ending = report.ending
    told = ("exit_code", "signal", "failing_rank", "phase", "reading", "cause", "signature", "said", "fault", "advice")
    return {
        **asdict(report.status),
        "checkpoints": checkpoints,
        "tokens_per_second": report.tokens_per_second,
        "seconds_per_step": report.seconds_per_step,
        "seconds_left": report.seconds_left,
        "memory": [_peak_json(peak) for peak in report.peaks],
        "samples": [dict(sample) for sample in report.samples],
        "ending": None if ending is None else {name: getattr(ending, name) for name in told},
        "attempts": [asdict(chapter) for chapter in report.story],
        "next": list(report.next),
    }


def ending_of(run_dir: RunDir, plan: Plan, status: RunStatus) -> RunResult | None:
    """How a failed attempt ended: as it was recorded, or, where nobody watched, as its files tell."""
    if status.state not in ("failed", "lost"):
        return None
    recorded = recorded_result(run_dir)
    if recorded is None or recorded.state != "failed":
        return read_result(run_dir, plan, attempt=status.attempt, observed=Observed(exit_code=None))
    return recorded


def _next(run_dir: RunDir, plan: Plan, status: RunStatus, *, resumable: bool) -> tuple[str, ...]:
    where = shlex.quote(short_path(run_dir.path))
    if status.state in ("running", "preparing"):
        return f"tunekit logs -f {where}", f"tunekit stop {where}"
    if status.state == "done":
        return tensorboard_lines(plan, run_dir)
    return (f"tunekit resume {where}" if resumable else command_anew(run_dir),)


def _facts(report: RunReport) -> dict[str, str]:
    status = report.status
    speed = [] if not report.tokens_per_second else [f"{report.tokens_per_second:,.0f} tokens/s"]
    speed += [] if report.seconds_per_step is None else [f"{format_step(report.seconds_per_step)} per step"]
    return {
        "step": step_text(status),
        "loss": "" if status.loss is None else f"{status.loss:.4f}",
        "speed": ", ".join(speed),
        "left": "" if report.seconds_left is None else f"about {format_seconds(report.seconds_left)} of steps",
        "phase": PHASE_WORDS.get(status.phase or "", status.phase or ""),
        "attempt": str(status.attempt),
        "changed": news_text(status),
        "watched": _unwatched(status),
        "folder": status.path,
    }


def _unwatched(status: RunStatus) -> str:
    """That the program that watched the run is gone, and what to do; empty where it is not."""
    if status.unwatched_since is None:
        return ""
    where, seen = shlex.quote(short_path(Path(status.path))), when_text(status.unwatched_since)
    return (
        f"nobody watches this run since {seen}: it goes on, but nobody stops or reports what goes wrong. "
        f"`tunekit stop {where}` saves where a checkpoint is due, then `tunekit resume {where}` goes on under watch"
    )


def _ending_lines(report: RunReport) -> list[str]:
    ending = report.ending
    if ending is None:
        return []
    if report.status.state == "lost" and not ending.cause:
        return [_LOST]
    return list(report.explained)


def _explained(ending: RunResult | None, run_dir: RunDir, plan: Plan) -> tuple[str, ...]:
    if ending is None:
        return ()
    return tuple(ending_text(explain_result(ending, run_dir, plan, resumable_step=None)).splitlines())


def _peak_json(peak: MeasuredPeak) -> dict[str, Any]:
    estimate = peak.estimate
    return {
        "place": peak.place,
        "measured_bytes": peak.bytes,
        "phase": peak.phase,
        "low_bytes": estimate.low_bytes,
        "expected_bytes": estimate.expected_bytes,
        "high_bytes": estimate.high_bytes,
        "usable_bytes": estimate.usable_bytes,
    }
