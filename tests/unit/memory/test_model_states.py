from collections.abc import Callable
from typing import Any

import pytest
from memory_jobs import job, llama, machine

from tunekit.memory import engine_work
from tunekit.memory import model_states as states
from tunekit.memory.case import Case, make_case
from tunekit.memory.terms import MemoryTerm
from tunekit.recipe.job import Quantization

SHAPE = llama(hidden=256, ffn=512, vocab=1024)
COUNT = SHAPE.num_parameters
INT8 = Quantization(kind="int8", double_quant=False)


def case(method: str = "full", *, ranks: int = 1, **changes: Any) -> Case:
    return make_case(job(method, ranks=ranks, **changes), SHAPE, machine(ranks))


def per_parameter(term: Callable[[Case], MemoryTerm], of: Case) -> float:
    return round(term(of).device_bytes / COUNT, 2)


@pytest.mark.parametrize(
    ("stage", "ranks", "weights", "gradients", "master", "adam"),
    [
        (0, 1, 2, 2, 4, 8),
        (0, 2, 2, 2, 4, 8),
        (1, 2, 2, 2, 2, 4),
        (2, 2, 2, 1, 2, 4),
        (3, 2, 1, 1, 2, 4),
        (3, 1, 2, 2, 4, 8),
    ],
)
def test_bytes_per_parameter_by_stage(
    stage: int, ranks: int, weights: float, gradients: float, master: float, adam: float
) -> None:
    found = case(zero={"stage": stage}, ranks=ranks)
    assert per_parameter(states.trained_weights, found) == weights
    assert per_parameter(states.gradients, found) == gradients
    assert per_parameter(states.master_weights, found) == master
    assert per_parameter(states.optimizer_states, found) == adam


def test_float32_gradients_are_twice_as_large_and_need_no_cast() -> None:
    for stage in (1, 2, 3):
        plain, wide = (case(zero={"stage": stage, "fp32_gradients": value}) for value in (False, True))
        assert states.gradients(wide).device_bytes == 2 * states.gradients(plain).device_bytes
        assert engine_work.optimizer_step(wide).device_bytes < engine_work.optimizer_step(plain).device_bytes


def test_stage_one_sums_up_in_one_float32_buffer_for_ever() -> None:
    """deepspeed 0.19.8 bf16_optimizer.py; live tensors: 18 B per parameter between steps, 20 from backward to step."""
    zero = {"stage": 1, "fp32_gradients": True}
    found, several = case(ranks=2, zero=zero), case(ranks=2, zero=zero, accumulate=2)
    assert states.gradients(found).device_bytes == 4 * COUNT
    assert {"load", "first forward", "eval", "save"} < set(states.gradients(found).phases)
    assert states.flattens_on_device(make_case(job(zero=zero), SHAPE, machine(2, usable=3 * COUNT / 2**30)))
    (early, _, last), (again, *_) = states.gradients_in_flight(found), states.gradients_in_flight(several)
    assert early.device_bytes < last.device_bytes == again.device_bytes == 2 * COUNT, "set to zero, not freed"
    assert engine_work.optimizer_step(found).device_bytes == 2 * COUNT
    for other in ({"offload_optimizer": "cpu"}, {"stage": 2}, {"fp32_gradients": False}):
        assert not states.sums_in_a_buffer(case(zero={**zero, **other}))
    for precision in ("fp16", "fp32"):
        assert not states.sums_in_a_buffer(case(zero=zero, precision=precision))


def test_bf16_states_halve_master_and_moments() -> None:
    found = case(zero={"stage": 3, "bf16_states": True})
    assert per_parameter(states.master_weights, found) == 2
    assert per_parameter(states.optimizer_states, found) == 4


@pytest.mark.parametrize(("stage", "master"), [(0, 0), (2, 4), (3, 4)])
def test_fp32_keeps_a_master_copy_in_every_stage_but_zero(stage: int, master: float) -> None:
    """Live tensors of real runs: 16 B per parameter in stage 0, 20 B in stages 2 and 3."""
    found = case(zero={"stage": stage}, precision="fp32")
    assert per_parameter(states.master_weights, found) == master
    assert per_parameter(states.trained_weights, found) == 4


@pytest.mark.parametrize(
    ("optimizer", "each"), [("adamw", 8), ("adamw_8bit", 2.03), ("adafactor", 4), ("lion", 4), ("sgd", 0)]
)
def test_optimizers_keep_what_they_keep(optimizer: str, each: float) -> None:
    assert per_parameter(states.optimizer_states, case(optimizer=optimizer)) == each


def test_paged_states_may_leave_the_card() -> None:
    assert states.optimizer_states(case(optimizer="paged_adamw_8bit")).low == 0.0


def test_offload_leaves_weights_alone_on_the_card() -> None:
    found = case(zero={"stage": 2, "offload_optimizer": "cpu"})
    assert per_parameter(states.trained_weights, found) == 2
    for gone in (states.gradients, states.master_weights, states.optimizer_states, engine_work.optimizer_step):
        assert gone(found).device_bytes == 0


def test_stage_1_keeps_gradients_on_the_card_also_with_offload() -> None:
    """deepspeed 0.19.8: it reduces at the last micro-batch only, and clears a gradient only where it goes to RAM."""
    offloaded = {"stage": 1, "offload_optimizer": "cpu"}
    whole = 2 * case().inventory.num_trainable
    assert states.gradients(case(zero=offloaded, accumulate=4)).device_bytes == whole
    assert states.gradients(case(zero=offloaded)).device_bytes == whole, "reduced when the pass is over"
    early = case(zero={**offloaded, "overlap_comm": True})
    assert states.gradients(early).device_bytes == whole - 2 * early.partition
    assert states.gradients(case(zero={**offloaded, "stage": 2}, accumulate=4)).device_bytes == 0


def test_offload_param_leaves_no_weights() -> None:
    assert states.trained_weights(case(zero={"stage": 3, "offload_param": "cpu"})).device_bytes == 0


def test_offload_ratio_keeps_the_first_sub_groups() -> None:
    zero = {"stage": 3, "offload_optimizer": "cpu", "offload_ratio": 0.5, "sub_group_size": 100_000}
    found = case(zero=zero)
    kept = sum(found.sub_groups[: int(0.5 * len(found.sub_groups))])
    assert len(found.sub_groups) > 3
    assert states.master_weights(found).device_bytes == 4 * kept
    assert states.optimizer_states(found).device_bytes == 8 * kept
    assert states.gradients_kept_on_device(found).device_bytes == 4 * kept


def test_an_eight_bit_base_has_a_byte_per_weight_and_a_scale_per_row() -> None:
    found = case("qlora", quantization=INT8)
    rows = sum(each.shape[0] * each.count for each in found.inventory.quantized)
    base, scales = states.quantised_base(found), states.base_scales(found)
    assert (base.name, base.device_bytes) == ("8-bit base", found.inventory.num_quantized)
    assert (scales.name, scales.device_bytes) == ("scales of the 8-bit base", 4 * rows)


def test_the_quantised_base() -> None:
    found = case("qlora")
    count = found.inventory.num_quantized
    assert states.quantised_base(found).device_bytes == count // 2
    assert states.base_scales(found).device_bytes == pytest.approx(count * 0.015869, rel=1e-3)
    plain = make_case(job("qlora", ranks=1), SHAPE, machine(1))
    assert states.frozen_base(plain).device_bytes == 2 * found.inventory.num_frozen


def test_scales_without_double_quantisation() -> None:
    from dataclasses import replace

    from tunekit.recipe.job import Quantization

    single = replace(job("qlora", ranks=1), quantization=Quantization(kind="nf4", double_quant=False))
    found = make_case(single, SHAPE, machine(1))
    assert states.base_scales(found).device_bytes == found.inventory.num_quantized // 16


def test_stage_three_shares_packed_weights_but_not_scales_nor_loading() -> None:
    alone, shared = case("qlora"), case("qlora", ranks=2, zero={"stage": 3})
    assert states.quantised_base(shared).device_bytes == states.quantised_base(alone).device_bytes // 2
    assert states.base_scales(shared).device_bytes == states.base_scales(alone).device_bytes
    whole = states.whole_base_while_loading(shared).device_bytes
    assert whole == states.quantised_base(alone).device_bytes + states.frozen_base(alone).device_bytes
    assert states.whole_base_while_loading(alone).device_bytes == 0


def test_weights_are_flattened_where_there_is_room() -> None:
    wide = make_case(job(), SHAPE, machine(2))
    narrow = make_case(job(), SHAPE, machine(2, usable=3 * COUNT / 2**30))
    assert states.flat_copy(wide).device_bytes == 2 * COUNT
    assert states.flat_copy(narrow).device_bytes == 0
    assert states.flat_copy(case(zero={"stage": 3})).device_bytes == 0


def test_gradients_come_in_backward_unless_they_accumulate() -> None:
    assert "loss" not in states.gradients(case()).moments
    assert "loss" in states.gradients(case(accumulate=2)).moments
    assert states.gradients(case(zero={"stage": 3})).moments == ("masters",), "throughout, once the engine stands"


def test_a_trained_head_has_its_gradient_at_the_loss() -> None:
    head, *_ = states.gradients_in_flight(case())
    assert (head.moments, head.device_bytes) == (("loss",), 2 * SHAPE.count("head"))
    assert states.gradients_in_flight(case("lora"))[0].device_bytes == 0


def test_no_gradient_is_in_flight_that_was_counted_already() -> None:
    def last(**changes: Any) -> int:
        return states.gradients_in_flight(case(**changes))[-1].device_bytes

    zero = {"stage": 1, "offload_optimizer": "cpu"}
    alone = last(zero={"stage": 2})
    assert alone == 2 * max(SHAPE.count("embedding"), case().inventory.layer)
    assert last(zero=zero) == last(zero={"stage": 1}) == 0
    assert last(zero=zero, accumulate=2) == last(zero={**zero, "overlap_comm": True}) == alone


def test_a_shared_heads_gradient_waits_for_the_embeddings() -> None:
    tied = make_case(job(zero={"stage": 2}), llama(tied=True), machine(2))
    apart = make_case(job(zero={"stage": 2}), llama(), machine(2))
    _, start, end = (term.device_bytes for term in states.gradients_in_flight(tied))
    _, plain_start, plain_end = (term.device_bytes for term in states.gradients_in_flight(apart))
    assert start - plain_start == end - plain_end == 2 * tied.inventory.head
    adapters = make_case(job("lora", zero={"stage": 2}), llama(tied=True), machine(2))
    assert states.gradients_in_flight(adapters)[1].device_bytes < 2 * tied.inventory.head
