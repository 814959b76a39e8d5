from dataclasses import replace
from typing import Any

import pytest
from memory_jobs import ATTENTION, SEVEN, adapter, job, llama, machine

from tunekit.memory import activations, layer_code
from tunekit.memory.case import Case, make_case
from tunekit.memory.practice import Practice
from tunekit.model_shape.catalogue import find
from tunekit.model_shape.shape import ModelShape

H, F, A, V = 64, 176, 4, 32
SHAPE = llama()


def case(method: str = "full", *, shape: ModelShape = SHAPE, **changes: Any) -> Case:
    return make_case(job(method, ranks=1, **changes), shape, machine(1))


def named(hub_id: str) -> ModelShape:
    shape = find(hub_id)
    assert shape is not None
    return shape


def test_what_a_fully_trained_layer_saves() -> None:
    """16h + 4q + 4v + 8f + 4a + 8."""
    assert activations.saved_per_layer(case()) == 16 * H + 4 * H + 4 * V + 8 * F + 4 * A + 8


def test_what_a_frozen_layer_saves_with_adapters_on_attention() -> None:
    """8h + 4q + 4v + 6f + 4a + 8, the input of attention and the ranks of four adapters."""
    found = activations.saved_per_layer(case("lora", targets=ATTENTION, rank=8))
    assert found == 8 * H + 4 * H + 4 * V + 6 * F + 4 * A + 8 + 2 * H + 2 * 4 * 8


def test_adapters_everywhere_keep_every_input() -> None:
    found = activations.saved_per_layer(case("lora", targets=SEVEN, rank=8))
    assert found == 8 * H + 4 * H + 4 * V + 6 * F + 4 * A + 8 + 2 * H + 2 * H + 2 * F + 2 * 7 * 8


def test_multi_head_attention_and_double_width_give_forty_hidden() -> None:
    """The rule of thumb of 40 h per layer for f = 2h."""
    square = llama(hidden=64, heads=4, kv_heads=4, ffn=128)
    assert activations.saved_per_layer(case(shape=square)) == 40 * 64 + 4 * 4 + 8


def test_layer_phase_of_mistral_is_fifty_nine_hidden() -> None:
    found = activations.layer_phase(case("lora", shape=named("mistralai/Mistral-7B-v0.1"), targets=ATTENTION))
    assert found / 4096 == pytest.approx(59, abs=0.1)


def test_dropout_keeps_a_mask_and_an_input_for_every_adapter() -> None:
    plain = job("lora", ranks=1)
    dropped = make_case(replace(plain, adapter=adapter(dropout=0.1)), SHAPE, machine(1))
    extra = activations.saved_per_layer(dropped) - activations.saved_per_layer(make_case(plain, SHAPE, machine(1)))
    shared = 2 * (H + H + F)
    assert extra == 3 * (6 * H + F) - shared


def test_checkpoints_are_one_input_per_layer() -> None:
    assert activations.activation_checkpoints(case(micro=3)).device_bytes == 2 * H * 2 * 3 * 2048
    assert activations.activation_checkpoints(case(activation_checkpointing=False)).device_bytes == 0
    assert activations.saved_activations(case()).device_bytes == 0


def test_without_checkpointing_every_layer_is_saved() -> None:
    found = case(activation_checkpointing=False)
    assert activations.saved_activations(found).device_bytes == activations.saved_per_layer(found) * 2 * 2048
    start, end = activations.layer_in_backward(found)
    assert start.device_bytes == 25 * H * 2048
    assert end.device_bytes == activations.layer_phase(found) * 2048


def test_fp32_doubles() -> None:
    assert activations.saved_per_layer(case(precision="fp32")) == 2 * activations.saved_per_layer(case())


def test_eager_attention_is_quadratic() -> None:
    short, long = (activations.saved_per_layer(case(attention="eager", max_seq_length=n)) for n in (512, 1024))
    assert long - short == 6 * A * 512


@pytest.mark.parametrize(
    ("attention", "packing", "micro", "bytes_"),
    [
        ("flash_attention_2", True, 4, 0),
        ("sdpa", False, 1, 0),
        ("sdpa", False, 2, 2 * 2048**2),
        ("sdpa", True, 2, 4096**2),
        ("eager", False, 1, 2 * 2048**2),
    ],
)
def test_masks(attention: str, packing: bool, micro: int, bytes_: int) -> None:
    found = case(attention=attention, packing=packing, micro=micro)
    assert activations.attention_mask(found).device_bytes == bytes_


def test_every_layer_keeps_the_bias_made_of_a_mask() -> None:
    kept = activations.attention_bias(case(attention="sdpa", activation_checkpointing=False))
    assert [term.device_bytes for term in kept] == [2 * SHAPE.num_layers * 2048**2, 2 * 2048**2]
    (recomputed,) = activations.attention_bias(case(attention="sdpa"))
    assert recomputed.device_bytes == 2 * 2048**2
    assert "loss" not in recomputed.moments
    assert activations.attention_bias(case()) == ()


def test_a_dense_mask_repeats_keys_and_values() -> None:
    packed, flash = case(attention="sdpa"), case()
    assert activations.saved_per_layer(packed) - activations.saved_per_layer(flash) == 4 * (H - V)


def test_dequantised_weight_is_the_largest_linear_less_what_is_freed_by_then() -> None:
    assert activations.dequantised_weight(case("qlora", max_seq_length=8)).device_bytes == 2 * H * F - 8 * 2 * F
    assert activations.dequantised_weight(case("qlora", max_seq_length=H)).device_bytes == 0
    assert activations.dequantised_weight(case("lora")).device_bytes == 0


def test_a_family_that_was_not_counted_is_a_bound() -> None:
    known, unknown = (
        activations.saved_activations(case(shape=each, activation_checkpointing=False))
        for each in (SHAPE, replace(SHAPE, family="nova"))
    )
    assert (known.kind, unknown.kind) == ("calibrated", "bound")
    assert unknown.high > 1.2 > known.high


def test_adapters_on_experts_merge_them() -> None:
    shape = named("mistralai/Mixtral-8x7B-v0.1")
    experts = 2 * 8 * 3 * 4096 * 14336
    every = case("lora", shape=shape, targets=("q_proj", "w1", "w2", "w3"))
    kept, start, end = activations.merged_experts(every)
    third = experts // 3 - 2 * 2 * 14336 * 2048
    assert (kept.device_bytes, end.device_bytes) == (0, experts + third)
    assert start.device_bytes == end.device_bytes
    open_ = case("lora", shape=shape, targets=("q_proj", "w1", "w2", "w3"), activation_checkpointing=False)
    assert activations.merged_experts(open_)[0].device_bytes == 32 * experts
    assert activations.merged_experts(case("lora", shape=shape, targets=("q_proj",))) == ()
    apart = replace(every, practice=Practice(merges_experts=False))
    assert activations.merged_experts(apart) == ()


def test_selective_checkpointing_keeps_attention_and_every_second_product() -> None:
    """b (2q + v + f + h) and 4a more per layer and token."""
    every = case(activation_checkpointing=True)
    kept = replace(every, practice=Practice(keeps_products=True))
    more = (
        activations.activation_checkpoints(kept).device_bytes - activations.activation_checkpoints(every).device_bytes
    )
    layers, each = every.shape.num_layers, 2 * (2 * H + V + F + H) + 4 * A
    assert more == each * layers * every.tokens


def test_a_mixture_counts_its_active_experts() -> None:
    shape = named("mistralai/Mixtral-8x7B-v0.1")
    assert layer_code.widths(shape).ffn == 2 * 14336
    assert activations.saved_activations(case(shape=shape, activation_checkpointing=False)).kind == "bound"


def test_qwen3_norms_its_heads() -> None:
    assert layer_code.widths(named("Qwen/Qwen3-8B")).head_norms


def test_evaluation_is_smaller_than_training() -> None:
    assert activations.evaluation_forward(case()).device_bytes < activations.layer_phase(case()) * 2048
