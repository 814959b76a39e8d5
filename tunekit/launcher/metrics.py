"""The records of metrics.jsonl: those of steps, written by the first rank, among those of the watch."""

from __future__ import annotations

from tunekit.launcher.json_lines import Record, read_lines
from tunekit.launcher.run_dir import RunDir
from tunekit.watch.sample import KIND


def step_records(run_dir: RunDir) -> list[Record]:
    """One record per logged step or evaluation of the attempt whose files lie at the top."""
    return [record for record in read_lines(run_dir.metrics) if record.get("kind") != KIND]


def has_steps(run_dir: RunDir) -> bool:
    """Whether a step was logged: the watch writes its samples into the same file before there is any."""
    return bool(step_records(run_dir))
