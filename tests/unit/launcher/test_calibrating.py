from __future__ import annotations

from typing import Any

import pytest

from tests.measured import a_measurement, a_rank
from tunekit.errors import UsageError
from tunekit.hardware.calibration import Calibration
from tunekit.launcher.calibrating import MeasuredRun, calibrate
from tunekit.memory.figures import KERNELS
from tunekit.units import GIB, MIB

HERE = "NVIDIA GeForce RTX 4090, a desktop"


def a_run(*ranks: dict[str, Any], name: str = "runs/a", machine: str = HERE, packing: bool = True) -> MeasuredRun:
    return MeasuredRun(
        name=name,
        measured=a_measurement(*ranks, machine=machine),
        world_size=len(ranks),
        packing=packing,
        usable_bytes=23 * GIB,
    )


def calibrated(*runs: MeasuredRun, known: Calibration | None = None) -> Calibration:
    return calibrate(runs, machine=HERE, known=known, today="2026-11-22")


def test_without_cards_only_the_ram_of_a_rank_is_told() -> None:
    found = calibrated(a_run(a_rank(rank_bytes=650 * MIB), a_rank(rank_bytes=700 * MIB)))
    assert found == Calibration(machine=HERE, date="2026-11-22", runs=("runs/a",), rank_bytes=700 * MIB)


def test_one_card_tells_context_and_kernels() -> None:
    found = calibrated(a_run(a_rank(context=310 * MIB, other=500 * MIB)))
    assert (found.context_bytes, found.kernel_bytes, found.nccl_bytes) == (310 * MIB, 190 * MIB, None)


def test_several_cards_tell_nccl_beyond_the_kernels_that_one_card_told() -> None:
    alone = a_run(a_rank(context=310 * MIB, other=500 * MIB))
    both = a_run(a_rank(context=310 * MIB, other=700 * MIB), a_rank(context=300 * MIB, other=690 * MIB), name="runs/b")
    found = calibrated(both, alone)
    assert (found.kernel_bytes, found.nccl_bytes, found.runs) == (190 * MIB, 200 * MIB, ("runs/b", "runs/a"))
    assert calibrated(both, known=calibrated(alone)).nccl_bytes == 200 * MIB
    without = calibrated(both)
    assert (without.kernel_bytes, without.nccl_bytes) == (None, 390 * MIB - KERNELS.bytes)


@pytest.mark.parametrize(("reserved", "margin"), [(20 * GIB, 0.1111), (19 * GIB, None)])
@pytest.mark.parametrize("packing", [True, False])
def test_only_a_card_that_was_nearly_full_tells_the_margin(reserved: int, margin: float | None, packing: bool) -> None:
    rank = a_rank(context=MIB * 300, other=MIB * 400, allocated=18 * GIB, reserved=reserved)
    found = calibrated(a_run(rank, packing=packing))
    assert (found.packed_margin, found.padded_margin) == ((margin, None) if packing else (None, margin))


def test_of_several_runs_the_median_counts() -> None:
    runs = [a_run(a_rank(rank_bytes=size * MIB), name=f"runs/{size}") for size in (600, 900, 640)]
    assert calibrated(*runs).rank_bytes == 640 * MIB


def test_what_was_known_stays_where_nothing_new_was_told() -> None:
    known = Calibration(machine=HERE, date="2026-01-01", runs=("runs/old",), nccl_bytes=70 * MIB, rank_bytes=GIB)
    found = calibrated(a_run(a_rank(rank_bytes=700 * MIB)), known=known)
    assert (found.nccl_bytes, found.rank_bytes, found.runs) == (70 * MIB, 700 * MIB, ("runs/old", "runs/a"))
    renewed = calibrated(a_run(a_rank()), known=Calibration(machine=HERE, date="x", runs=("runs/old",), rank_bytes=GIB))
    assert renewed.runs == ("runs/a",)


def test_a_run_of_another_machine_is_refused() -> None:
    with pytest.raises(UsageError, match="runs/a was measured on a laptop; this machine is NVIDIA"):
        calibrated(a_run(a_rank(), machine="a laptop"))


@pytest.mark.parametrize("ranks", [[], [{"rank": 0, "phases": {"step": {}}}]])
def test_a_run_of_an_older_tunekit_is_refused(ranks: list[dict[str, Any]]) -> None:
    with pytest.raises(UsageError, match="does not say what its ranks held at their start"):
        calibrated(a_run(*ranks))


def test_a_figure_that_cannot_be_is_refused_with_its_bounds() -> None:
    with pytest.raises(UsageError, match="context_bytes is .*allowed: a whole number.*another program"):
        calibrated(a_run(a_rank(context=9 * GIB, other=9 * GIB)))
