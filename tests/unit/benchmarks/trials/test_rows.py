from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import pytest
from trials.rows import ALLOCATED, COLUMNS, NVML, RESERVED, RSS, Origin, append, case_name, read_file, rows_of

from tests.plans import CPU_BOX
from tunekit.units import GIB, MIB


def test_the_columns_are_those_of_the_published_measurements(shared_data: Path) -> None:
    with (shared_data / "memory_measurements.csv").open(newline="") as file:
        assert tuple(next(csv.reader(file))) == COLUMNS


def test_a_run_on_a_card_has_a_row_per_phase_and_reading(trial: Any, origin: Origin) -> None:
    rows = rows_of(trial(), origin, first=7)
    assert [row["row_id"] for row in rows[:2]] == ["TKX-0007", "TKX-0008"]
    found = {
        (row["phase"], row["mem_metric"]): row["host_ram_value" if row["mem_metric"] == RSS else "gpu_mem_value"]
        for row in rows
    }
    assert found == {
        ("idle", RSS): 700 * MIB,
        ("cuda_context", "NVML"): 300 * MIB,
        ("model_loading", ALLOCATED): 0,
        ("model_loading", RESERVED): 0,
        ("model_loading", RSS): GIB,
        ("train_peak", ALLOCATED): 2 * GIB,
        ("train_peak", RESERVED): 3 * GIB,
        ("train_peak", NVML): 4 * GIB,
        ("train_peak", RSS): 2 * GIB,
    }
    peak = next(row for row in rows if row["mem_metric"] == NVML)
    assert (peak["gpu_mem_gib"], peak["unit_base"], peak["gpu_type"]) == (4.0, "bytes", "NVIDIA GeForce RTX 4090")
    assert set(peak) == set(COLUMNS)


def test_a_run_on_a_cpu_has_resident_sets_only(trial: Any, origin: Origin) -> None:
    rows = rows_of(trial(CPU_BOX), origin, first=1)
    assert {row["mem_metric"] for row in rows} == {RSS}
    assert {row["gpu_mem_value"] for row in rows} == {""}


def test_what_did_not_end_well_has_one_row_without_figures(trial: Any, origin: Origin) -> None:
    (row,) = rows_of(trial(outcome="oom", measured={}, error="OutOfMemoryError: no"), origin, first=1)
    assert (row["outcome"], row["phase"], row["gpu_mem_value"]) == ("oom", "fits_or_not", "")
    assert "OutOfMemoryError: no" in row["note"]


def test_rows_say_what_was_run_where_and_with_what(trial: Any, origin: Origin) -> None:
    made = trial(disk={"checkpoint": 77})
    row = rows_of(made, origin, first=1)[0]
    assert (row["model"], row["method"], row["lora_rank"], row["seq_len"], row["zero_stage"]) == (
        "HuggingFaceTB/SmolLM2-135M, 2 layers", "lora", 16, 128, 0,
    )  # fmt: skip
    assert (row["published"], row["source_rev"], row["grad_ckpt"]) == ("2026-11-22", "abc", "on")
    for part in ("torch 2.13.0", "a desktop, 2 cores", "checkpoint 77 B", f"plan says {made.plan.verdict}"):
        assert part in row["note"]


def test_rows_are_added_and_their_cases_found_again(tmp_path: Path, trial: Any, origin: Origin) -> None:
    path = tmp_path / "data" / "rows.csv"
    assert read_file(path) == []
    for first in (1, 10):
        append(path, rows_of(trial(), origin, first=first))
    rows = read_file(path)
    assert path.read_text().count("row_id") == 1
    assert {case_name(row) for row in rows} == {trial().case.name}
    assert case_name({"note": "somebody else's"}) == ""


def test_a_file_of_something_else_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    path.write_text("a,b\n1,2\n")
    with pytest.raises(SystemExit, match="has other columns"):
        read_file(path)
