from __future__ import annotations

from typing import Any

import pytest
from memory_jobs import job, llama, machine

from tunekit.memory.case import Case, make_case
from tunekit.memory.engine_work import gradient_norm, masters_being_made, norm_bytes, optimizer_step
from tunekit.memory.estimate import estimate_memory

SHAPE = llama(hidden=256, ffn=704)
COUNT = SHAPE.num_parameters
CPU: dict[str, Any] = {"offload_optimizer": "cpu"}


def case(stage: int, *, ranks: int = 2, **zero: Any) -> Case:
    return make_case(job(ranks=ranks, zero={"stage": stage, **zero}), SHAPE, machine(2))


@pytest.mark.parametrize(
    ("stage", "zero", "per_parameter"),
    [(0, {}, 2 + 4 + 8), (2, {}, 4 / 2), (2, {"bf16_states": True}, 2 / 2), (2, CPU, 2 / 2), (3, {}, 4 / 2)],
)
def test_what_the_engine_takes_while_it_is_built(stage: int, zero: dict[str, Any], per_parameter: float) -> None:
    found = masters_being_made(case(stage, **zero))
    assert found.device_bytes == pytest.approx(per_parameter * COUNT, rel=0.01)
    assert (found.host_bytes, found.phases, found.moments) == (0, ("load",), ("masters",))


def test_a_cpu_keeps_the_weights_that_were_replaced() -> None:
    plan = make_case(job(ranks=2, zero={"stage": 2}), SHAPE, machine(0))
    assert masters_being_made(plan).device_bytes == pytest.approx((2 + 2 / 2) * COUNT, rel=0.01)


def test_an_offloaded_sub_group_is_zeroed_in_ram() -> None:
    found = masters_being_made(case(3, **CPU))
    assert (found.device_bytes, found.host_bytes) == (0, pytest.approx(2 * 4 * COUNT / 2, rel=0.01))


def test_loading_ends_with_masters_and_zero_gradients() -> None:
    """Resident sets of two CPU processes: 20 N in stage 0, (2 + 2) N + (4 + 4) n before, at least, in stage 2."""
    for stage, per_parameter in ((0, 20), (2, 2 + 8 / 2)):
        plan = job(ranks=2, zero={"stage": stage, "reduce_bucket_size": 1000})
        peaks = {peak.phase: peak for peak in estimate_memory(plan, SHAPE, machine(2)).peaks}
        tensors = peaks["load"].device_bytes - 2 * 2**20 * 450
        assert tensors == pytest.approx(per_parameter * COUNT, abs=0.5 * COUNT + 2**20 * 10)


def test_gradients_are_measured_in_float64_where_offload_wants_them_in_backward() -> None:
    largest = max(tensor.numel for tensor in SHAPE.tensors)
    for stage, share in ((1, 1), (2, 1), (3, 2)):
        found = gradient_norm(case(stage, **CPU))
        assert found.device_bytes == norm_bytes(case(stage, **CPU)) == 8 * largest // share
        assert (found.phases, found.moments) == (("step",), ("backward end",))
        assert gradient_norm(case(stage)).device_bytes == 0
    assert norm_bytes(case(0)) == 0


def test_stage_three_measures_large_gradients_in_pieces_when_they_leave_the_card() -> None:
    huge = llama(hidden=8192, vocab=256_000, ffn=1024)
    pieces, whole = (make_case(job(ranks=2, zero={"stage": 3, **zero}), huge, machine(2)) for zero in (CPU, {}))
    assert norm_bytes(pieces) == 8 * 250_000_000
    assert norm_bytes(whole) == 8 * 8192 * 256_000 // 2


def test_an_adam_that_is_not_fused_takes_two_copies() -> None:
    fused, loose = (case(3, ranks=1, unfused_adam=value) for value in (False, True))
    largest = max(fused.sub_groups)
    assert optimizer_step(fused).device_bytes == 6 * largest
    assert optimizer_step(loose).device_bytes == 12 * largest


@pytest.mark.parametrize(("stage", "extra"), [(0, 4), (1, 6), (2, 6), (3, 6)])
def test_the_step_flattens_and_casts_gradients(stage: int, extra: int) -> None:
    found = case(stage, ranks=1)
    stepped = max(found.sub_groups) if stage == 3 else max(found.group_partitions) if stage else COUNT
    assert optimizer_step(found).device_bytes == extra * stepped


def test_the_step_of_stage_three_is_one_sub_group() -> None:
    small = case(3, ranks=1, sub_group_size=1)
    medium = case(3, ranks=1, sub_group_size=COUNT // 3)
    assert optimizer_step(medium).device_bytes == 6 * max(medium.sub_groups) < 6 * COUNT
    # One tensor fills the smallest group: measuring it in float64 takes more than stepping it.
    assert optimizer_step(small).device_bytes == norm_bytes(small) == 8 * max(small.sub_groups)
