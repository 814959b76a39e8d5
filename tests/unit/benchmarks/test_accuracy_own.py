"""Rows that tunekit's own benchmarks wrote: their jobs are the planner's, their figures read phase by phase."""

from __future__ import annotations

import pytest
from accuracy.estimating import estimate
from accuracy.mapping import map_row
from accuracy.rows import Row, read_rows
from accuracy.setting import Setting, Unmapped
from measurement_rows import ROW

from tests.conftest import ROOT

OWN = ROW | {
    "row_id": "TKGPU-0001",
    "framework": "tunekit worker",
    "model": "Qwen/Qwen2.5-0.5B, 4 layers",
    "method": "lora",
    "quant": "",
    "compute_dtype": "bf16",
    "optimizer": "adamw",
    "lora_targets": "q_proj v_proj",
    "parallelism": "deepspeed",
    "zero_stage": "2",
    "offload": "none",
    "seq_len": "1024",
    "micro_batch": "2",
    "seq_semantics": "packed, every row filled",
    "attention": "sdpa",
    "kernels": "full loss",
    "note": "case x-4l-lora-1p; plan says fits",
}


def mapped(**cells: str) -> Setting:
    found = map_row(Row(cells=OWN | cells))
    assert isinstance(found, Setting), found
    return found


def test_the_planner_makes_the_job() -> None:
    found = mapped()
    assert (found.engine, found.reading, found.phase, found.is_peak) == ("deepspeed", "allocated", "step", True)
    assert found.shape.num_layers == 4
    assert (found.job.zero.stage, found.job.loss, found.job.packing) == (2, "full", True)
    assert found.job.adapter is not None
    assert found.job.adapter.target_modules == ("q_proj", "v_proj")
    assert found.job.zero.reduce_bucket_size < 500_000_000


@pytest.mark.parametrize(
    ("phase", "metric", "reading"),
    [
        ("train_peak", "torch max_memory_reserved", "reserved"),
        ("evaluation", "NVML memory used, peak less what was used before", "device"),
        ("saving", "torch max_memory_allocated", "allocated"),
    ],
)
def test_readings_and_phases(phase: str, metric: str, reading: str) -> None:
    found = mapped(phase=phase, mem_metric=metric)
    assert found.reading == reading
    guess = estimate(found)
    assert 0 < guess.low <= guess.expected <= guess.high


def test_phases_are_read_alone() -> None:
    step, saving = estimate(mapped()), estimate(mapped(phase="saving"))
    assert saving.expected < step.expected


def test_a_card_that_was_too_small_is_held_against_the_verdict() -> None:
    found = mapped(phase="fits_or_not", outcome="oom", mem_metric="", gpu_mem_value="")
    assert (found.ran, found.reading) == (False, "none")


@pytest.mark.parametrize(
    ("cell", "value"), [("model", "some/model, 4 layers"), ("phase", "cuda_context"), ("method", "x")]
)
def test_reasons(cell: str, value: str) -> None:
    assert isinstance(map_row(Row(cells=OWN | {cell: value})), Unmapped)


def test_resident_sets_of_real_runs() -> None:
    """Every row of benchmarks/data/cpu_memory.csv is estimated, and its peak of training is near."""
    found = [map_row(row) for row in read_rows(ROOT / "benchmarks" / "data" / "cpu_memory.csv")]
    settings = [each for each in found if isinstance(each, Setting)]
    assert len(settings) == len(found) > 80
    assert {each.reading for each in settings} == {"host"}
    peaks = [each for each in settings if each.is_peak]
    errors = sorted(abs(estimate(each).expected / (each.measured_bytes or 1) - 1) for each in peaks)
    assert errors[len(errors) // 2] < 0.1
