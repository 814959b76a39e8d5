from __future__ import annotations

from collections.abc import Callable

import pytest

from tunekit.model_shape import catalogue
from tunekit.model_shape.quantized import quantized_tensors
from tunekit.model_shape.shape import ModelShape

Tiny = Callable[..., ModelShape]


def test_linears_of_the_layers_and_nothing_else(tiny: Tiny) -> None:
    shape = tiny("qwen2")
    assert sum(tensor.total for tensor in quantized_tensors(shape)) == shape.count("linear")
    assert {tensor.role for tensor in quantized_tensors(shape)} == {"linear"}


def test_experts_stay_in_16_bits(tiny: Tiny) -> None:
    shape = tiny("mixtral")
    assert sum(tensor.total for tensor in quantized_tensors(shape)) == 3 * (2 * 64 * 64 + 2 * 32 * 64)


def test_falcon_is_not_quantised_at_all(tiny: Tiny) -> None:
    assert quantized_tensors(tiny("falcon")) == ()


def test_the_last_module_of_the_model_is_left_out(tiny: Tiny) -> None:
    """A tied OLMo ends with a linear, for its norms have no parameters."""
    tied, untied = tiny("olmo", tie_word_embeddings=True), tiny("olmo")
    assert quantized_tensors(tied)[-1].names == tuple(f"model.layers.{layer}.mlp.down_proj.weight" for layer in (0, 1))
    assert quantized_tensors(untied)[-1].count == 3


def test_a_last_module_that_stands_alone_is_left_out(tiny: Tiny) -> None:
    one = tiny("olmo", tie_word_embeddings=True, num_hidden_layers=1)
    assert not any("down_proj" in tensor.name for tensor in quantized_tensors(one))


@pytest.mark.parametrize(
    ("name", "low", "high"), [("codellama/CodeLlama-34b-hf", 0.01, 0.02), ("mistralai/Mixtral-8x7B-v0.1", 0.96, 0.98)]
)
def test_the_share_tells_dense_from_mixture(name: str, low: float, high: float) -> None:
    shape = catalogue.find(name)
    assert shape is not None
    held = sum(tensor.total for tensor in quantized_tensors(shape))
    assert low < 1 - held / shape.num_parameters < high
