"""How far a run is, folded from the records that the worker appends. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from statistics import median

from tunekit.launcher.json_lines import Record
from tunekit.units import format_bytes, format_seconds
from tunekit.watch.findings import EVENT, sentence
from tunekit.watch.sample import Sample, sample_from

RECENT = 8
"""Logged steps over which the time per step is taken."""
CURVE = 64
"""Losses that are kept for the curve."""
EXAMPLE_LENGTH = 240
"""Characters shown of the first row of the data."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """The state of the live view. Times are seconds since 1970, sizes bytes; None is not known yet."""

    phase: str = "starting"
    phase_since: float | None = None
    step: int = 0
    max_steps: int | None = None
    losses: tuple[float, ...] = ()
    """The newest ones, at most `CURVE`."""
    eval_loss: float | None = None
    tokens_per_second: float | None = None
    step_seconds: tuple[float, ...] = ()
    """Seconds per step between the last logged ones, by the worker's steady clock: the time of day may jump."""
    gpu_bytes: int = 0
    host_bytes: int = 0
    sample: Sample | None = None
    """The newest look at the machine."""
    notes: tuple[str, ...] = ()
    """What was recognised, warnings and checkpoints, in order."""

    @property
    def seconds_per_step(self) -> float | None:
        """Median over the recent steps; None before two steps are logged."""
        return median(self.step_seconds) if self.step_seconds else None

    @property
    def seconds_left(self) -> float | None:
        """Time to the last step at the recent speed."""
        if self.max_steps is None or self.seconds_per_step is None:
            return None
        return max(0, self.max_steps - self.step) * self.seconds_per_step


def fold(progress: Progress, records: Iterable[Record]) -> Progress:
    """The progress after these records of metrics.jsonl and events.jsonl; unknown records change nothing."""
    for record in records:
        if "loss" in record:
            progress = _step(progress, record)
        elif "eval_loss" in record:
            progress = replace(progress, eval_loss=float(record["eval_loss"]))
        elif record.get("event") == "phase":
            progress = replace(progress, phase=str(record.get("phase")), phase_since=record.get("time"))
        elif (sample := sample_from(record)) is not None:
            progress = replace(progress, sample=sample)
        elif (note := _note(record)) is not None:
            progress = replace(progress, notes=(*progress.notes, note))
    return progress


def _step(progress: Progress, record: Record) -> Progress:
    step = record.get("step", progress.step)
    steps = step - progress.step if progress.losses else 0  # the first one warms up
    spans = (record["seconds"] / steps,) if steps > 0 and "seconds" in record else ()
    return replace(
        progress,
        step=step,
        max_steps=record.get("max_steps", progress.max_steps),
        losses=(*progress.losses, float(record["loss"]))[-CURVE:],
        tokens_per_second=record.get("tokens_per_second", progress.tokens_per_second),
        step_seconds=(*progress.step_seconds, *spans)[-RECENT:],
        gpu_bytes=record.get("gpu_bytes", 0),
        host_bytes=record.get("host_bytes", 0),
    )


def _note(record: Record) -> str | None:
    if record.get("event") == "warning":
        return f"warning: {record.get('text') or record.get('message') or 'see the log'}"
    if record.get("event") == EVENT:
        return _watch_note(record)
    if record.get("event") == "rehearsal":
        return rehearsal_note(record)
    if record.get("event") == "checkpoint":
        return f"checkpoint saved at step {record.get('step')}"
    if record.get("event") == "data":
        return _data_note(record)
    return None


def rehearsal_note(record: Record) -> str:
    """`rehearsed in 31 s: GPU 18.2 of 20.1 GiB planned`; the event is the worker's."""
    places = (("GPU", "device_bytes"), ("host", "host_bytes"))
    seen = (
        f"{place} {format_bytes(int(record[name]))} of {format_bytes(int(record[f'expected_{name}']))} planned"
        for place, name in places
        if record.get(name) and f"expected_{name}" in record
    )
    less = f"; without the optimizer: {record['without_optimizer']}" if record.get("without_optimizer") else ""
    return f"rehearsed in {format_seconds(float(record.get('seconds', 0)))}: {', '.join(seen)}{less}"


def _watch_note(record: Record) -> str:
    """What the watch found; of what stops the run, what to do stands at the end of it."""
    if record.get("change") == "ended":
        return f"watch: {sentence(record)}"
    return f"stopping: {record.get('text', '')}" if record.get("stops") else f"warning: {sentence(record)}"


def _data_note(record: Record) -> str:
    """What was recognised, and the first row as the model sees it."""
    rows = record.get("num_rows")
    packed = f"packed into {_count(rows)}, " if record.get("packed") and rows is not None else ""
    example = str(record.get("example", "")).strip().replace("\n", "⏎")
    shown = example if len(example) <= EXAMPLE_LENGTH else example[:EXAMPLE_LENGTH] + " …"
    read = f"data: {_count(record.get('rows'))} rows read as {record.get('format')}, {_left_out(record)}{packed}"
    learned = f"{_count(record.get('tokens'))} tokens, {_count(record.get('supervised_tokens'))} of them learned"
    return f"{read}{learned}\nfirst row: {shown}"


def _left_out(record: Record) -> str:
    """Rows that are not trained on: the others are those read less these."""
    dropped = sum(value for name in ("empty_rows", "masked_rows") if isinstance(value := record.get(name), int))
    held_out = record.get("num_eval_rows") if record.get("eval_of_these") else None
    said = [f"{dropped:,} of them dropped, "] if dropped else []
    said += [f"{_count(held_out)} held out, "] if held_out else []
    return "".join(said)


def _count(value: object) -> str:
    return f"{value:,}" if isinstance(value, int) else "?"
