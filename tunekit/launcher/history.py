"""Runs that were measured before: the one that is nearest to a plan, and what is different about it."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from datetime import date
from pathlib import Path
from typing import Any

from tunekit.launcher.json_lines import Record, read_record
from tunekit.launcher.measured import Peak, worst_peaks
from tunekit.launcher.run_dir import RunDir
from tunekit.planner.plan import Plan

NEWEST_RUNS = 40
"""Runs that are looked at: a plan is made in a few tenths of a second, and reading a run's two files takes 1 ms."""
MOST_DIFFERENCES = 4
"""A run with more of them tells little about the plan."""

_KEYS: Mapping[str, str] = {
    "adapter.rank": "method.rank",
    "adapter.target_modules": "method.target_modules",
    "adapter.modules_to_save": "method.modules_to_save",
    "adapter.dropout": "method.dropout",
    "quantization.kind": "method.quantization",
    "quantization.double_quant": "method.double_quant",
    "zero.stage": "zero.stage",
    "zero.offload_optimizer": "zero.offload_optimizer",
    "zero.offload_param": "zero.offload_param",
    "zero.offload_ratio": "zero.offload_ratio",
    "zero.bf16_states": "zero.bf16_states",
    "zero.pin_memory": "zero.pin_memory",
    "zero.zenflow": "zero.zenflow",
    "zero.reduce_bucket_size": "zero.reduce_bucket_size",
    "zero.sub_group_size": "zero.sub_group_size",
    "zero.max_live_parameters": "zero.max_live_parameters",
    "batch.micro_batch_size": "train.micro_batch_size",
    "batch.gradient_accumulation_steps": "train.gradient_accumulation_steps",
    "batch.world_size": "processes",
    "max_seq_length": "train.max_seq_length",
    "packing": "data.packing",
    "precision": "train.precision",
    "attention": "model.attention",
    "optimizer": "train.optimizer",
    "activation_checkpointing": "train.activation_checkpointing",
    "loss": "train.loss",
    "evaluates": "evaluation",
    "num_workers": "data.num_workers",
}
"""What of a job changes its memory, and the recipe's key for it."""
_SAME = ("accelerator", "method")
"""A run of another model shape, or with another of these, is not similar."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MeasuredBefore:
    """A run that is the same job as a plan, or a similar one: its peaks, and what is different about it."""

    run: str
    date: str
    peaks: tuple[Peak, ...]
    differs: tuple[str, ...]
    """`key=value` of the run where the plan has another value; empty for the same job."""
    tokens_per_second: float | None = None
    """Of all processes together; None where the run did not end, or had a single step."""


def find_measured(plan: Plan, folders: Iterable[Path]) -> MeasuredBefore | None:
    """The measured run in `folders` that is nearest to the plan, the newest of equals; None where none is similar."""
    shape, job = _plain(asdict(plan.model_shape)), _plain(asdict(plan.job))
    found = (_compared(run_dir, shape, job) for run_dir in _newest(folders))
    similar = [each for each in found if each is not None and len(each.differs) <= MOST_DIFFERENCES]
    return min(similar, key=lambda each: len(each.differs), default=None)


def _newest(folders: Iterable[Path]) -> list[RunDir]:
    """Runs with measurements, newest first; a folder named twice is looked at once."""
    named = (path for folder in folders for path in folder.expanduser().glob(f"*/{RunDir(folder).measured.name}"))
    measured = {path.resolve(): path for path in named}
    newest = sorted(measured.values(), key=lambda path: path.stat().st_mtime, reverse=True)
    return [RunDir(path.parent) for path in newest[:NEWEST_RUNS]]


def _compared(run_dir: RunDir, shape: Record, job: Record) -> MeasuredBefore | None:
    measured, plan = read_record(run_dir.measured), read_record(run_dir.plan)
    if measured is None or plan is None:
        return None
    ran = plan.get("job")
    if not isinstance(ran, dict) or not _similar(plan.get("model_shape"), ran, shape, job):
        return None
    try:
        peaks = worst_peaks(measured)
    except (AttributeError, TypeError, ValueError):
        return None  # written by another program, or by hand
    day = date.fromtimestamp(run_dir.measured.stat().st_mtime).isoformat()
    differs = tuple(differences(ran, job))
    if not peaks:
        return None
    rate = (read_record(run_dir.success) or {}).get("tokens_per_second")
    rate = float(rate) if isinstance(rate, (int, float)) and rate > 0 else None
    return MeasuredBefore(run=str(run_dir.path), date=day, peaks=peaks, differs=differs, tokens_per_second=rate)


def _similar(ran_shape: Any, ran: Record, shape: Record, job: Record) -> bool:
    names = [name for name in shape if name not in ("name", "source")]
    same_shape = isinstance(ran_shape, dict) and all(ran_shape.get(name) == shape[name] for name in names)
    return same_shape and all(ran.get(name) == job[name] for name in _SAME)


def differences(ran: Record, job: Record) -> Iterator[str]:
    """`key=value` of one job (as JSON) where the other has another value, of what changes its memory."""
    for path, key in _KEYS.items():
        there = _value(ran, path)
        if there != _value(job, path):
            yield f"{key}={json.dumps(there) if isinstance(there, (bool, list)) else there}"


def _value(job: Record, path: str) -> Any:
    section, _, name = path.rpartition(".")
    held = job.get(section) if section else job
    return held.get(name) if isinstance(held, dict) else None


def _plain(value: dict[str, Any]) -> Record:
    """As JSON has it: lists for tuples."""
    plain: Record = json.loads(json.dumps(value))
    return plain
