"""How far a run is, folded from the records that the worker appends. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from statistics import median

from tunekit.launcher.json_lines import Record

RECENT = 8
"""Steps over which the time per step is taken."""
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
    eval_loss: float | None = None
    tokens_per_second: float | None = None
    step_times: tuple[float, ...] = ()
    """When the last steps were logged."""
    steps_logged: tuple[int, ...] = ()
    gpu_bytes: int = 0
    host_bytes: int = 0
    notes: tuple[str, ...] = ()
    """What was recognised, warnings and checkpoints, in order."""

    @property
    def seconds_per_step(self) -> float | None:
        """Median over the recent steps; None before two steps are logged."""
        pairs = zip(self.step_times, self.step_times[1:], self.steps_logged, self.steps_logged[1:], strict=False)
        spans = [(later - earlier) / (b - a) for earlier, later, a, b in pairs if b > a]
        return median(spans) if spans else None

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
        elif (note := _note(record)) is not None:
            progress = replace(progress, notes=(*progress.notes, note))
    return progress


def _step(progress: Progress, record: Record) -> Progress:
    step = int(record.get("step", progress.step))
    return replace(
        progress,
        step=step,
        max_steps=record.get("max_steps", progress.max_steps),
        losses=(*progress.losses, float(record["loss"])),
        tokens_per_second=record.get("tokens_per_second", progress.tokens_per_second),
        step_times=(*progress.step_times, float(record.get("time", 0.0)))[-RECENT:],
        steps_logged=(*progress.steps_logged, step)[-RECENT:],
        gpu_bytes=int(record.get("gpu_bytes") or 0),
        host_bytes=int(record.get("host_bytes") or 0),
    )


def _note(record: Record) -> str | None:
    if record.get("event") == "warning":
        return f"warning: {record.get('text') or record.get('message') or 'see the log'}"
    if record.get("event") == "checkpoint":
        return f"checkpoint saved at step {record.get('step')}"
    if record.get("event") == "data":
        return _data_note(record)
    return None


def _data_note(record: Record) -> str:
    """What was recognised, and the first row as the model sees it."""
    rows = record.get("num_rows")
    packed = f"packed into {rows:,}, " if record.get("packed") and rows is not None else ""
    example = str(record.get("example", "")).strip().replace("\n", "⏎")
    shown = example if len(example) <= EXAMPLE_LENGTH else example[:EXAMPLE_LENGTH] + " …"
    read = f"data: {record.get('rows', 0):,} rows read as {record.get('format')}, {packed}"
    learned = f"{record.get('tokens', 0):,} tokens, {record.get('supervised_tokens', 0):,} of them learned"
    return f"{read}{learned}\nfirst row: {shown}"
