from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from memory_jobs import ATTENTION, SEVEN, adapter, job, llama, machine

from tunekit.memory import layer_bytes
from tunekit.memory.activations import attention_bias
from tunekit.memory.case import Case, make_case
from tunekit.memory.layer_code import widths
from tunekit.model_shape.catalogue import find
from tunekit.model_shape.shape import ModelShape
from tunekit.recipe.job import Quantization

SHAPE = llama()
H, F, V, A = 64, 176, 32, 4


def case(method: str = "full", shape: ModelShape = SHAPE, **changes: Any) -> Case:
    return make_case(job(method, ranks=1, **changes), shape, machine(1))


def named(hub_id: str) -> ModelShape:
    shape = find(hub_id)
    assert shape is not None
    return shape


def saved(hub_id: str, method: str = "full", **changes: Any) -> float:
    """Bytes per token and hidden element."""
    shape = named(hub_id)
    return layer_bytes.saved_per_layer(case(method, shape, **changes)) / shape.hidden_size


@pytest.mark.parametrize(
    ("hub_id", "full"),
    [
        ("meta-llama/Llama-2-7b-hf", 45.53),
        ("Qwen/Qwen3-8B", 52.56),
        ("google/gemma-7b", 94.69),
        ("microsoft/phi-4", 53.53),
        ("microsoft/phi-2", 54.05),
        ("EleutherAI/pythia-6.9b", 36.03),
        ("allenai/OLMo-2-1124-7B", 65.56),
        ("stabilityai/stablelm-2-1_6b", 40.06),
    ],
)
def test_layers_of_many_families_as_they_were_traced(hub_id: str, full: float) -> None:
    """h per token and layer, full fine-tuning with flash attention: traced at rows of 2,048 tokens."""
    assert saved(hub_id) == pytest.approx(full, abs=0.02)


def test_the_layer_in_backward_adds_six_f_and_its_gradient() -> None:
    more = layer_bytes.layer_phase(case("lora", targets=SEVEN)) - layer_bytes.saved_per_layer(
        case("lora", targets=SEVEN)
    )
    assert more == 4 * F + 2 * H


def test_an_eight_bit_base_keeps_what_every_linear_reads() -> None:
    """As if all were adapted; and still in backward, as the nodes hold it, when a 4-bit base has freed it."""
    four, eight = (
        case("qlora", targets=("o_proj",), quantization=Quantization(kind=kind, double_quant=False))
        for kind in ("nf4", "int8")
    )
    assert layer_bytes.saved_per_layer(eight) - layer_bytes.saved_per_layer(four) == 4 * H + 2 * F
    assert layer_bytes.layer_phase(eight) - layer_bytes.layer_phase(four) == 4 * H + 2 * F


def test_an_activation_written_out_takes_as_much_in_full_as_with_adapters() -> None:
    """phi-2 at rows of 8,192 tokens: 134.1 h traced at the peak of recomputation, 62 h of it checkpoints."""
    shape = named("microsoft/phi-2")
    full = layer_bytes.layer_phase(case("full", shape)) / shape.hidden_size
    assert full == pytest.approx(134.1 - 62.0, rel=0.03)


def test_attention_decides_where_the_feed_forward_part_is_narrow() -> None:
    narrow, wide = (layer_bytes.layer_phase(case(shape=llama(ffn=ffn))) for ffn in (8, 16))
    assert narrow == wide


def test_without_checkpointing_backward_starts_with_the_final_norm_or_the_last_layer() -> None:
    assert layer_bytes.beyond_saved(case(shape=llama(ffn=H))) == 25 * H
    wide = case(shape=llama(ffn=16 * H))
    assert layer_bytes.beyond_saved(wide) == 4 * 16 * H + 2 * H


def test_a_mask_repeats_values_and_flash_attn_copies_padded_outputs() -> None:
    plain = case("lora", attention="flash_attention_2", packing=False)
    padded = case("lora", attention="flash_attention_2", packing=False, micro=2)
    assert layer_bytes.saved_per_layer(padded) - layer_bytes.saved_per_layer(plain) == 2 * H
    packed = case(attention="sdpa", packing=True)
    assert layer_bytes.repeats_values(packed, widths(packed.shape))
    assert not layer_bytes.repeats_values(plain, widths(plain.shape))


def test_falcon_always_gets_a_mask() -> None:
    falcon = case(shape=named("tiiuae/falcon-40b"), attention="sdpa", packing=False)
    assert layer_bytes.masked_layers(falcon) == falcon.shape.num_layers
    assert layer_bytes.masked_layers(case(attention="sdpa", packing=False)) == 0


@pytest.mark.parametrize(
    ("hub_id", "length", "layers", "masks"),
    [
        ("mistralai/Mistral-7B-v0.1", 4095, 0, 0),
        ("mistralai/Mistral-7B-v0.1", 4096, 32, 1),
        ("mistralai/Mistral-7B-v0.3", 8192, 0, 0),
        ("google/gemma-3-1b-pt", 512, 22, 1),
        ("microsoft/Phi-3-mini-4k-instruct", 2047, 32, 1),
    ],
)
def test_a_window_no_longer_than_the_row_needs_a_mask(hub_id: str, length: int, layers: int, masks: int) -> None:
    found = case(shape=named(hub_id), attention="sdpa", packing=False, max_seq_length=length)
    assert layer_bytes.masked_layers(found) == layers
    assert layer_bytes.num_masks(found) == masks


def test_flash_needs_no_mask_of_a_window() -> None:
    found = case(shape=named("mistralai/Mistral-7B-v0.1"), packing=False, max_seq_length=8192)
    assert layer_bytes.masked_layers(found) == 0


def test_packed_rows_of_a_model_with_both_kinds_of_layers_need_two_masks() -> None:
    found = case(shape=named("google/gemma-3-1b-pt"), attention="sdpa", packing=True, max_seq_length=256)
    assert (layer_bytes.num_masks(found), layer_bytes.masked_layers(found)) == (2, 26)


def test_masked_layers_save_the_repeated_keys_and_values_too() -> None:
    shape = named("mistralai/Mistral-7B-v0.1")
    long, short = (
        layer_bytes.saved_by_layers(case(shape=shape, attention="sdpa", packing=False, max_seq_length=length))
        for length in (4096, 4095)
    )
    assert long - short == 32 * 4 * (4096 - 1024)


def test_one_key_head_under_sdpa_keeps_all_scores() -> None:
    shape = named("tiiuae/falcon-7b")
    short, long = (
        layer_bytes.saved_per_layer(case(shape=shape, attention="sdpa", max_seq_length=length))
        for length in (512, 1024)
    )
    assert long - short == 4 * 71 * 512


def test_several_rows_of_one_key_head_copy_it_for_all_in_32_bits() -> None:
    shape = named("tiiuae/falcon-7b")
    one, two = (
        layer_bytes.saved_per_layer(case(shape=shape, attention="sdpa", packing=False, micro=rows)) for rows in (1, 2)
    )
    assert two - one == 8 * (71 * 64 - 64)


def test_the_plain_kernel_holds_its_scores_thrice_in_backward_and_saves_no_bias() -> None:
    shape = named("tiiuae/falcon-7b")
    short, long = (
        case("lora", shape=shape, attention="sdpa", packing=False, max_seq_length=n, targets=("dense",))
        for n in (2048, 4096)
    )
    assert layer_bytes.layer_phase(long) - layer_bytes.layer_phase(short) == 12 * 71 * 2048
    assert layer_bytes.evaluated_layer(long) - layer_bytes.evaluated_layer(short) == 9 * 71 * 2048
    assert attention_bias(short) == ()


def test_capped_scores_are_kept_once_more() -> None:
    gemma = named("google/gemma-2-9b")
    short, long = (
        layer_bytes.saved_per_layer(case(shape=gemma, attention="eager", packing=False, max_seq_length=length))
        for length in (512, 1024)
    )
    assert long - short == 8 * gemma.num_heads * 512


def test_experts_keep_what_they_read_only_where_they_are_trained() -> None:
    mixtral = named("mistralai/Mixtral-8x7B-v0.1")
    frozen = layer_bytes.saved_per_layer(case("lora", mixtral, targets=("q_proj",)))
    trained = layer_bytes.saved_per_layer(case("full", mixtral))
    assert trained - frozen >= 2 * 2 * 4096 + 2 * 2 * 14336


def test_dropout_keeps_inputs_of_its_own() -> None:
    plain = job("lora", ranks=1, targets=ATTENTION)
    dropped = make_case(replace(plain, adapter=adapter(targets=ATTENTION, dropout=0.1)), SHAPE, machine(1))
    assert layer_bytes.drops(dropped)
    assert layer_bytes.keeps_own_inputs(dropped)
    extra = layer_bytes.saved_per_layer(dropped) - layer_bytes.saved_per_layer(make_case(plain, SHAPE, machine(1)))
    assert extra == 3 * 4 * H - 2 * H


def test_an_evaluated_layer_keeps_nothing() -> None:
    assert layer_bytes.evaluated_layer(case()) == 6 * F + 8 * H


def test_what_is_free_while_a_weight_is_made_whole() -> None:
    assert layer_bytes.freed_for_whole_weights(case("qlora")) == 2 * F
    olmo = named("allenai/OLMo-2-1124-7B")
    assert layer_bytes.freed_for_whole_weights(case("qlora", olmo)) > 2 * olmo.ffn_size


def test_the_final_norm() -> None:
    assert layer_bytes.final_norm_saved(case()) == 6
    assert layer_bytes.final_norm_saved(case("lora")) == 4
