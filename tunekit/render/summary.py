"""What a run says at its end: the result with what was measured against the plan, or the failure with its cause."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from tunekit.launcher.attempts import answers_before
from tunekit.launcher.checkpoints import Checkpoint, list_checkpoints
from tunekit.launcher.json_lines import read_record
from tunekit.launcher.measured import worst_peaks
from tunekit.launcher.outcome import RunResult
from tunekit.launcher.run_dir import RunDir
from tunekit.launcher.stop_request import read_stop_request
from tunekit.launcher.story import Chapter, story_of
from tunekit.memory.terms import PlaceEstimate
from tunekit.planner.plan import Plan
from tunekit.render.live import sparkline
from tunekit.units import format_bytes, format_seconds

_CURVE = 32
_TABLE_WIDTH = 80


@dataclass(frozen=True, slots=True, kw_only=True)
class MeasuredPeak:
    """One place: the measured peak in bytes with the phase it was in, beside the estimate."""

    place: str
    bytes: int
    phase: str
    estimate: PlaceEstimate


def print_summary(
    console: Console, plan: Plan, result: RunResult, run_dir: RunDir, metrics: Sequence[Mapping[str, Any]]
) -> None:
    """The end of a run that is done."""
    console.print(Text(headline(result, metrics), style="bold green"), soft_wrap=True)
    peaks = measured_peaks(plan, result.measured)
    print_peaks(console, peaks)
    for sample in samples_of(result.success, run_dir):
        console.print(sample_table(sample))
    for line in closing_lines(plan, result, run_dir):
        console.print(Text(line), soft_wrap=True)


def samples_of(success: Mapping[str, Any], run_dir: RunDir) -> tuple[Mapping[str, Any], ...]:
    """The questions with both answers; a resumed run asked only the first attempt beforehand."""
    asked = answers_before(run_dir)
    samples = success.get("samples", ())
    return tuple({**item, "before": item.get("before") or asked.get(item.get("prompt"), "")} for item in samples)


def headline(result: RunResult, metrics: Sequence[Mapping[str, Any]]) -> str:
    """Time, steps, loss first to last, and speed."""
    success = result.success
    losses = tuple(float(record["loss"]) for record in metrics if "loss" in record)
    parts = [_steps_taken(success, len(losses))]
    if losses:
        parts.append(f"loss {losses[0]:.4f} → {losses[-1]:.4f} {sparkline(thinned(losses, _CURVE))}")
    if success.get("eval_loss") is not None:
        parts.append(f"eval loss {success['eval_loss']:.4f}")
    if success.get("tokens_per_second"):
        parts.append(f"{success['tokens_per_second']:,.0f} tokens/s")
    return ", ".join(parts) + "."


def _steps_taken(success: Mapping[str, Any], logged: int) -> str:
    """`12 steps; 2 min from start to end`; the time is this attempt's, so a resumed run says how many steps were."""
    steps, before = int(success.get("steps", logged)), int(success.get("steps_before", 0))
    here = f", the last {steps - before:,} of them" if before else ""
    return f"Done: {steps:,} steps{here}; {format_seconds(float(success.get('seconds', 0)))} from start to end"


def thinned(values: tuple[float, ...], count: int) -> tuple[float, ...]:
    """At most `count` of the values, evenly spaced, the first and the last among them."""
    if len(values) <= count:
        return values
    return tuple(values[round(index * (len(values) - 1) / (count - 1))] for index in range(count))


def measured_peaks(plan: Plan, measured: Mapping[str, Any]) -> tuple[MeasuredPeak, ...]:
    """The worst phase of each place beside the estimate of that place."""
    estimates = {"GPU": plan.memory.device, "host": plan.memory.host}
    return tuple(
        MeasuredPeak(place=peak.place, bytes=peak.bytes, phase=peak.phase, estimate=estimates[peak.place])
        for peak in worst_peaks(measured)
    )


def seen_peaks(plan: Plan, metrics: Sequence[Mapping[str, Any]]) -> tuple[MeasuredPeak, ...]:
    """What the logged steps saw, of a run that has not measured itself to the end: a lower bound of the peaks."""
    places = (("GPU", "gpu_bytes", plan.memory.device), ("host", "host_bytes", plan.memory.host))
    found = ((place, max((r.get(field, 0) for r in metrics), default=0), whole) for place, field, whole in places)
    return tuple(
        MeasuredPeak(place=place, bytes=seen, phase="step", estimate=whole) for place, seen, whole in found if seen
    )


def closing_lines(plan: Plan, result: RunResult, run_dir: RunDir) -> list[str]:
    """Where the result lies and what to type next."""
    again = f"Again:  tunekit status {shlex.quote(short_path(run_dir.path))}"
    commands = (f"Next:   {command}" for command in tensorboard_lines(plan, run_dir))
    story = (f"        {chapter}" for chapter in told_of(run_dir))
    return [result_line(plan, result.success, run_dir), *story, again, *commands]


def told_of(run_dir: RunDir, *, going: bool = False) -> tuple[Chapter, ...]:
    """The run attempt by attempt, where there was more than one; `going`: whether the last one goes on."""
    chapters = story_of(run_dir, going=going)
    return chapters if len(chapters) > 1 else ()


def result_line(plan: Plan, success: Mapping[str, Any], run_dir: RunDir) -> str:
    """Where the result lies, how large it is, and how to go on with it."""
    final = success.get("final")
    held = final if isinstance(final, Mapping) else {}
    kind = "adapter" if plan.job.adapter is not None else "model"
    size = f", {format_bytes(int(held['bytes']))}" if held.get("bytes") else ""
    return f"Result: {short_path(run_dir.final)} ({kind}{size}); its README.md shows how to load it"


def tensorboard_lines(plan: Plan, run_dir: RunDir) -> tuple[str, ...]:
    """The command that shows the curves, where they were written."""
    command = f"tensorboard --logdir {shlex.quote(short_path(run_dir.tensorboard))}"
    return (command,) if "tensorboard" in plan.recipe.tracking else ()


def stopped_text(run_dir: RunDir, *, resumable_step: int | None) -> str:
    """The end of a run that was stopped: why, where it was not a person, and how to go on."""
    where, asked = shlex.quote(short_path(run_dir.path)), read_stop_request(run_dir)
    head = f"Stopped: {asked.reason}" if asked.reason else "Stopped"
    todo = [f"Try:    {asked.todo}"] if asked.todo else []
    if resumable_step is not None:
        on = f"the newest checkpoint is of step {resumable_step}. To go on: tunekit resume {where}"
        return "\n".join([f"{head}; {on}", *todo])
    broken = [f"{found.path.name} cannot be used: {found.fault}." for found in list_checkpoints(run_dir.checkpoints)]
    hint = "" if broken else " (output.save_steps sets when they are saved)"
    return "\n".join([f"{head}; {where} holds no complete checkpoint{hint}: launch anew.", *broken, *todo])


def resuming_text(
    run_dir: RunDir, checkpoint: Checkpoint, passed_over: Sequence[Checkpoint] = (), remark: str = ""
) -> str:
    """From which checkpoint a run goes on and how many steps are left; first what is wrong with newer ones."""
    lines = [f"{found.path.name} cannot be used: {found.fault}." for found in passed_over]
    state = read_record(checkpoint.path / "trainer_state.json") or {}
    text = f"{run_dir.path.name}: going on from {checkpoint.path.name}"
    match state:
        case {"global_step": int(step), "max_steps": int(last)} if last >= step:
            text = f"{text}: step {step} of {last} is done, {last - step} to go"
    lines.append(f"{text}.")
    return "\n".join([*lines, *([f"{checkpoint.path.name} was {remark}"] if remark else [])])


def short_path(path: Path) -> str:
    """The path as a person would type it here: relative where it lies below the current folder."""
    return str(path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path)


def print_peaks(console: Console, peaks: Sequence[MeasuredPeak]) -> None:
    """Measured beside planned: a table, or a sentence per place where the terminal is too narrow for one."""
    if peaks and console.width >= _TABLE_WIDTH:
        console.print(peaks_table(peaks))
        return
    for peak in peaks:
        planned, usable = (format_bytes(count) for count in (peak.estimate.expected_bytes, peak.estimate.usable_bytes))
        console.print(f"{peak.place}: {format_bytes(peak.bytes)} measured, {planned} planned, {usable} usable")


def peaks_table(peaks: Sequence[MeasuredPeak]) -> Table:
    """Measured beside planned, one line per place."""
    table = Table(box=box.SIMPLE_HEAD, title_justify="left")
    for heading in ("memory", "measured", "in phase", "planned", "low to high", "usable"):
        table.add_column(heading)
    for peak in peaks:
        estimate = peak.estimate
        planned = estimate.expected_bytes
        share = f" ({peak.bytes / planned:.0%})" if planned else ""
        table.add_row(
            peak.place,
            format_bytes(peak.bytes) + share,
            peak.phase,
            format_bytes(planned),
            f"{format_bytes(estimate.low_bytes)} to {format_bytes(estimate.high_bytes)}",
            format_bytes(estimate.usable_bytes),
        )
    return table


def sample_table(sample: Mapping[str, Any]) -> Table:
    """A question with the answers before and after training, side by side."""
    table = Table(box=box.SIMPLE_HEAD, title=Text(str(sample.get("prompt", ""))), title_justify="left", expand=True)
    table.add_column("before", ratio=1)
    table.add_column("after", ratio=1)
    table.add_row(Text(str(sample.get("before", ""))), Text(str(sample.get("after", ""))))
    return table
