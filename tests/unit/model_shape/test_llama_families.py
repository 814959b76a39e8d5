from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tunekit.model_shape.shape import ModelShape

Tiny = Callable[..., ModelShape]


def names(shape: ModelShape, layer: int = 0) -> list[str]:
    """Short names of the tensors in one layer."""
    prefix = f"model.layers.{layer}."
    return [name.removeprefix(prefix) for tensor in shape.tensors for name in tensor.names if name.startswith(prefix)]


def test_llama_layer_and_total_by_hand(tiny: Tiny) -> None:
    shape = tiny()
    assert names(shape) == [
        "self_attn.q_proj.weight",
        "self_attn.k_proj.weight",
        "self_attn.v_proj.weight",
        "self_attn.o_proj.weight",
        "mlp.gate_proj.weight",
        "mlp.up_proj.weight",
        "mlp.down_proj.weight",
        "input_layernorm.weight",
        "post_attention_layernorm.weight",
    ]
    layer = 2 * 64 * 64 + 2 * 32 * 64 + 3 * 64 * 96 + 2 * 64
    assert shape.num_parameters == 3 * layer + 64 + 2 * 128 * 64


@pytest.mark.parametrize(
    ("family", "more", "expected"),
    [
        ("llama", {"attention_bias": True}, "self_attn.o_proj.bias"),
        ("llama", {"mlp_bias": True}, "mlp.down_proj.bias"),
        ("qwen2", {}, "self_attn.q_proj.bias"),
        ("qwen3", {}, "self_attn.q_norm.weight"),
        ("gemma2", {}, "pre_feedforward_layernorm.weight"),
        ("gemma3_text", {}, "self_attn.k_norm.weight"),
        ("olmo2", {}, "post_feedforward_layernorm.weight"),
        ("mixtral", {}, "mlp.experts.gate_up_proj"),
    ],
)
def test_what_sets_a_family_apart(tiny: Tiny, family: str, more: dict[str, Any], expected: str) -> None:
    assert expected in names(tiny(family, **more))
    assert expected not in names(tiny("mistral"))


def test_qwen2_has_no_bias_on_the_output(tiny: Tiny) -> None:
    assert "self_attn.o_proj.bias" not in names(tiny("qwen2"))


def test_olmo_norms_have_no_parameters(tiny: Tiny) -> None:
    assert tiny("olmo").count("norm") == 0


def test_gemma_is_tied_unless_it_says_otherwise(tiny: Tiny) -> None:
    assert tiny("gemma").tied_embeddings
    assert tiny("gemma", tie_word_embeddings=False).count("head") == 128 * 64


def test_mixtral_counts_its_experts(tiny: Tiny) -> None:
    shape = tiny("mixtral", num_local_experts=4)
    assert (shape.num_experts, shape.experts_per_token) == (4, 2)
    assert shape.count("expert") == 3 * 4 * 3 * 64 * 96
    assert shape.count("router") == 3 * 4 * 64


def test_a_mixture_may_have_dense_layers(tiny: Tiny) -> None:
    shape = tiny("qwen3_moe", num_experts=4, moe_intermediate_size=48, mlp_only_layers=[1])
    assert shape.ffn_size == 48
    assert "mlp.experts.down_proj" in names(shape, 0)
    assert "mlp.gate_proj.weight" in names(shape, 1)
    assert "mlp.experts.down_proj" in names(shape, 2)
    dense = next(tensor for tensor in shape.tensors if tensor.name.endswith("mlp.gate_proj.weight"))
    assert dense.shape == (96, 64)


def test_every_second_layer_sparse(tiny: Tiny) -> None:
    shape = tiny("qwen3_moe", num_experts=4, moe_intermediate_size=48, decoder_sparse_step=2)
    assert ["mlp.gate.weight" in names(shape, layer) for layer in range(3)] == [False, True, False]


@pytest.mark.parametrize(
    ("family", "more", "window", "layers"),
    [
        ("mistral", {}, 4096, 8),
        ("mistral", {"sliding_window": None}, 0, 0),
        ("mixtral", {}, 0, 0),
        ("mixtral", {"sliding_window": 64}, 64, 8),
        ("qwen2", {"sliding_window": 64, "max_window_layers": 6}, 0, 0),
        ("qwen2", {"use_sliding_window": True, "sliding_window": 64, "max_window_layers": 6}, 64, 2),
        ("qwen3", {"use_sliding_window": True}, 0, 0),
        ("qwen3_moe", {"use_sliding_window": True, "moe_intermediate_size": 16}, 4096, 8),
        ("gemma2", {}, 4096, 4),
        ("gemma3_text", {"sliding_window": 512}, 512, 7),
        ("gemma3_text", {"sliding_window_pattern": 2}, 4096, 4),
        ("gemma3_text", {"layer_types": ["sliding_attention"] + 7 * ["full_attention"]}, 4096, 1),
        ("phi3", {"sliding_window": 2047}, 2047, 8),
        ("llama", {"sliding_window": 64}, 0, 0),
    ],
)
def test_layers_with_a_sliding_window(tiny: Tiny, family: str, more: dict[str, Any], window: int, layers: int) -> None:
    shape = tiny(model_type=family, num_hidden_layers=8, **more)
    assert (shape.sliding_window, shape.sliding_layers) == (window, layers)
