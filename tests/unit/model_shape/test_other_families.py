from __future__ import annotations

from collections.abc import Callable

import pytest

from tunekit.model_shape.shape import ModelShape

Tiny = Callable[..., ModelShape]


def sides(shape: ModelShape, end: str) -> tuple[int, ...]:
    return next(tensor.shape for tensor in shape.tensors if tensor.name.endswith(end))


def has(shape: ModelShape, end: str) -> bool:
    return any(tensor.name.endswith(end) for tensor in shape.tensors)


def test_phi3_fuses_queries_with_keys_and_gate_with_up(tiny: Tiny) -> None:
    assert sides(tiny("phi3"), "qkv_proj.weight") == (64 + 2 * 32, 64)
    assert sides(tiny("phi3"), "gate_up_proj.weight") == (2 * 96, 64)


def test_phi_has_a_bias_on_its_head_tied_or_not(tiny: Tiny) -> None:
    assert sides(tiny("phi"), "lm_head.bias") == (128,)
    tied = tiny("phi", tie_word_embeddings=True)
    assert has(tied, "lm_head.bias")
    assert not has(tied, "lm_head.weight")
    assert not tied.gated_mlp


def test_gpt_neox_ignores_key_heads(tiny: Tiny) -> None:
    shape = tiny("gpt_neox")
    assert shape.num_kv_heads == 4
    assert sides(shape, "query_key_value.weight") == (3 * 64, 64)
    assert not has(tiny("gpt_neox", attention_bias=False), "query_key_value.bias")


@pytest.mark.parametrize(
    ("more", "queries", "key_heads", "norms"),
    [
        ({}, 64 + 2 * 16, 1, ["input_layernorm"]),
        ({"multi_query": False}, 3 * 64, 4, ["input_layernorm"]),
        ({"new_decoder_architecture": True, "num_kv_heads": 2}, 64 + 4 * 16, 2, ["ln_attn", "ln_mlp"]),
        ({"parallel_attn": False}, 64 + 2 * 16, 1, ["post_attention_layernorm", "input_layernorm"]),
    ],
)
def test_falcon_in_its_three_shapes(
    tiny: Tiny, more: dict[str, bool | int], queries: int, key_heads: int, norms: list[str]
) -> None:
    shape = tiny("falcon", **more)
    assert sides(shape, "query_key_value.weight") == (queries, 64)
    assert shape.num_kv_heads == key_heads
    found = [t.name.split(".")[-2] for t in shape.tensors if t.role == "norm" and t.in_layers]
    assert list(dict.fromkeys(found)) == norms
    assert shape.tied_embeddings
    assert shape.ffn_size == 4 * 64


def test_stablelm_has_a_norm_per_head_where_asked(tiny: Tiny) -> None:
    plain, normed = tiny("stablelm"), tiny("stablelm", qk_layernorm=True, use_parallel_residual=True)
    assert not has(plain, "k_layernorm.norms.0.weight")
    assert has(normed, "k_layernorm.norms.1.weight")
    assert not has(normed, "k_layernorm.norms.2.weight")
    assert has(plain, "post_attention_layernorm.weight")
    assert not has(normed, "post_attention_layernorm.weight")
    assert has(tiny("stablelm", use_qkv_bias=True), "v_proj.bias")
