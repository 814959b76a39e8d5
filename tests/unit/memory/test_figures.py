from __future__ import annotations

from dataclasses import replace

import pytest
from memory_jobs import job, llama, machine

from tunekit.hardware.calibration import BOUNDS, Calibration
from tunekit.memory.estimate import estimate_memory
from tunekit.memory.figures import (
    CONTEXT,
    CPU_RANK,
    MEASURED_HIGH,
    MEASURED_LOW,
    RANK,
    figure,
    margin,
    own_figure,
)
from tunekit.memory.host import CONDUCTOR_BYTES
from tunekit.units import MIB

MEASURED = Calibration(
    machine="RTX 4090, test", date="2026-01-01", runs=("runs/a",), context_bytes=311 * MIB, rank_bytes=777 * MIB,
    kernel_bytes=95 * MIB, nccl_bytes=70 * MIB, packed_margin=0.05, padded_margin=0.20,
)  # fmt: skip
TERMS = {
    "context_bytes": "CUDA context", "kernel_bytes": "loaded kernels", "nccl_bytes": "NCCL buffers",
    "rank_bytes": "processes",
}  # fmt: skip


def test_without_a_measurement_the_default_stands() -> None:
    assert figure("context_bytes", None) is figure("context_bytes", replace(MEASURED, context_bytes=None)) is CONTEXT
    assert figure("rank_bytes", None) is RANK
    assert figure("rank_bytes", None, on_cpu=True) is own_figure("rank_bytes", on_cpu=True) is CPU_RANK
    assert (margin(True, None), margin(False, None)) == (0.03, 0.12)
    assert margin(True, replace(MEASURED, packed_margin=0.0)) == 0.0


def test_a_measured_figure_names_its_runs_and_its_day() -> None:
    found = figure("context_bytes", MEASURED)
    assert (found.bytes, found.low, found.high) == (311 * MIB, MEASURED_LOW, MEASURED_HIGH)
    assert found.source == "measured on this machine (runs/a; tunekit calibrate, 2026-01-01)"


@pytest.mark.parametrize("gpus", [0, 2])
def test_only_calibrated_terms_change_and_each_by_its_own_figure(gpus: int) -> None:
    plain = machine(gpus)
    own = {term.name: term for term in estimate_memory(job(), llama(), plain).terms}
    found = {term.name: term for term in estimate_memory(job(), llama(), replace(plain, calibration=MEASURED)).terms}
    assert set(own) == set(found)
    changed = {name for name in own if own[name] != found[name]}
    assert changed == (set(TERMS.values()) if gpus else {"processes"})
    assert {own[name].kind for name in changed} == {"calibrated"}
    assert found["processes"].host_bytes == 2 * 777 * MIB + CONDUCTOR_BYTES


@pytest.mark.parametrize(("packing", "margin"), [(True, 0.05), (False, 0.20)])
def test_the_margin_of_packed_and_of_padded_rows(packing: bool, margin: float) -> None:
    wanted = job(packing=packing)
    assert estimate_memory(wanted, llama(), replace(machine(), calibration=MEASURED)).allocator_margin == margin
    assert estimate_memory(wanted, llama(), replace(machine(0), calibration=MEASURED)).allocator_margin == 0.10


def test_every_figure_reaches_a_term_or_the_margin() -> None:
    assert set(BOUNDS) == {*TERMS, "packed_margin", "padded_margin"}
