from memory_jobs import ATTENTION, adapter, llama

from tunekit.memory.layer_code import RMS_NORM, adapter_reach, layer_code, widths
from tunekit.model_shape.catalogue import find

SHAPE = llama()


def test_families() -> None:
    assert layer_code("llama") is RMS_NORM
    assert layer_code("gpt_neox").fused_qkv
    assert layer_code("falcon").repeats_values
    assert not layer_code("a family of tomorrow").counted


def test_widths_of_a_layer() -> None:
    size = widths(SHAPE)
    assert (size.hidden, size.ffn, size.queries, size.values, size.heads) == (64, 176, 64, 32, 4)
    assert (size.norms, size.gated, size.head_norms, size.routed) == (2, True, False, 0)


def test_a_model_without_gate() -> None:
    pythia = find("EleutherAI/pythia-1b")
    assert pythia is not None
    assert not widths(pythia).gated


def test_gemma2_has_four_norms() -> None:
    gemma = find("google/gemma-2-2b")
    assert gemma is not None
    assert widths(gemma).norms == 4


def test_what_adapters_reach() -> None:
    attention = adapter_reach(SHAPE, adapter(8, ATTENTION))
    assert (attention.attention_input, attention.mlp_input, attention.down_input) == (True, False, False)
    assert (attention.ranks, attention.inputs) == (4 * 8, 4 * 64)
    everything = adapter_reach(SHAPE, adapter(8))
    assert (everything.attention_input, everything.mlp_input, everything.down_input) == (True, True, True)
    assert everything.inputs == 6 * 64 + 176


def test_the_output_projection_keeps_no_new_input() -> None:
    assert not adapter_reach(SHAPE, adapter(8, ("o_proj",))).attention_input


def test_a_down_projection_is_known_by_name_even_if_square() -> None:
    square = llama(hidden=64, ffn=64)
    reach = adapter_reach(square, adapter(8, ("down_proj",)))
    assert (reach.mlp_input, reach.down_input) == (False, True)


def test_experts_are_reached_as_a_whole() -> None:
    mixtral = find("mistralai/Mixtral-8x7B-v0.1")
    assert mixtral is not None
    assert adapter_reach(mixtral, adapter(8, ("q_proj", "w1", "w2", "w3"))).experts
    assert adapter_reach(mixtral, adapter(8, ("q_proj", "w1", "w2", "w3"))).ranks == 8
    assert not adapter_reach(mixtral, adapter(8, ("q_proj",))).experts


def test_full_training_has_no_adapters() -> None:
    assert adapter_reach(SHAPE, None).ranks == 0
