from typing import Any

import pytest
from memory_jobs import job, llama, machine

from tunekit.memory import buffers
from tunekit.memory.case import Case, make_case

SHAPE = llama(layers=12, hidden=256, ffn=512, vocab=4096)
LAYER = 2 * 256 * 256 + 2 * 256 * 128 + 3 * 256 * 512 + 2 * 256


def case(method: str = "full", *, ranks: int = 2, **changes: Any) -> Case:
    return make_case(job(method, ranks=ranks, **changes), SHAPE, machine(ranks))


@pytest.mark.parametrize(("stage", "overlap", "copies"), [(0, True, 0), (1, False, 1), (2, True, 2), (3, True, 1)])
def test_reduce_buckets(stage: int, overlap: bool, copies: int) -> None:
    found = case(zero={"stage": stage, "overlap_comm": overlap, "reduce_bucket_size": 1000})
    assert buffers.reduce_bucket(found).device_bytes == copies * 2 * 1000


def test_offload_stages_one_gradient_on_the_card() -> None:
    assert buffers.offload_gradient_buffer(case(zero={"offload_optimizer": "cpu"})).device_bytes == 2 * 4096 * 256
    assert buffers.offload_gradient_buffer(case()).device_bytes == 0
    assert buffers.offload_gradient_buffer(case(zero={"offload_optimizer": "cpu", "stage": 3})).device_bytes == 0


def test_small_parameters_stay_whole_in_stage_three() -> None:
    assert buffers.persistent_parameters(case(zero={"stage": 3})).device_bytes == 2 * (
        SHAPE.count("norm") + 2 * 12 * 256 * 128
    )
    assert buffers.persistent_parameters(case()).device_bytes == 0


def gathered(live: int, **zero: Any) -> dict[str, int]:
    terms = buffers.gathered_weights(case(zero={"stage": 3, "max_live_parameters": live, **zero}))
    return {term.moments[0] if term.moments else term.phases[0]: term.device_bytes // 2 for term in terms}


def test_prefetching_runs_ahead_to_what_may_live() -> None:
    """As a run with two ranks showed: 9.0 and 12.1 million elements whole at the loss where 9 and 12 may live."""
    found = gathered(3_000_000)
    assert found["loss"] == found["eval"] == 3_000_000
    assert found["backward start"] == 3_000_000 - SHAPE.count("head")
    assert found["backward end"] == SHAPE.count("embedding") + 2 * LAYER


def test_a_head_is_gathered_whole_however_little_may_live() -> None:
    found = gathered(1000)
    assert found["loss"] == SHAPE.count("head")
    assert found["backward start"] == 2 * LAYER


def test_never_more_than_the_model_is_gathered() -> None:
    assert gathered(10**9)["loss"] == SHAPE.num_parameters


def test_reuse_keeps_half_its_distance() -> None:
    assert gathered(1000, max_reuse_distance=400_000)["loss"] == SHAPE.count("head") + 200_000


def test_nothing_is_gathered_below_stage_three_or_by_one_rank() -> None:
    assert buffers.gathered_weights(case()) == ()
    assert buffers.gathered_weights(case(zero={"stage": 3}, ranks=1)) == ()


def test_four_bit_weights_count_as_stored() -> None:
    """Four packed weights are one element: as many may live, so more layers do."""
    found = buffers.gathered_weights(case("qlora", zero={"stage": 3, "max_live_parameters": 10**9}))[0]
    stored = found.device_bytes // 2
    assert SHAPE.count("embedding", "head") < stored < 0.6 * SHAPE.num_parameters


def test_zenflow_keeps_a_tenth_of_the_columns() -> None:
    assert buffers.zenflow_columns(case(zero={"zenflow": True})).device_bytes == 8 * int(0.1 * SHAPE.num_parameters)
    assert buffers.zenflow_columns(case()).device_bytes == 0
