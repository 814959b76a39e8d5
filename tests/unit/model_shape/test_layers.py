from __future__ import annotations

from collections.abc import Callable

from tunekit.model_shape.layers import (
    largest_layer,
    largest_linear,
    largest_tensor,
    layer_linears,
    parameters_per_layer,
)
from tunekit.model_shape.shape import ModelShape

Tiny = Callable[..., ModelShape]


def test_layers_and_ends_add_up(tiny: Tiny) -> None:
    shape = tiny()
    ends = sum(tensor.total for tensor in shape.tensors if not tensor.in_layers)
    assert sum(parameters_per_layer(shape)) + ends == shape.num_parameters
    assert len(set(parameters_per_layer(shape))) == 1


def test_mixed_layers_differ(tiny: Tiny) -> None:
    shape = tiny("qwen3_moe", num_experts=4, moe_intermediate_size=48, mlp_only_layers=[0])
    sizes = parameters_per_layer(shape)
    assert sizes[0] < sizes[1] == sizes[2] == largest_layer(shape)
    assert [module.leaf for module in layer_linears(shape, 0)][-1] == "down_proj"
    assert [module.leaf for module in layer_linears(shape, 1)] == ["q_proj", "k_proj", "v_proj", "o_proj"]


def test_the_largest(tiny: Tiny) -> None:
    shape = tiny()
    assert largest_tensor(shape).role == "embedding"
    assert (largest_linear(shape).into, largest_linear(shape).out) == (64, 96)
    assert largest_tensor(tiny("mixtral")).role == "expert"
    assert len(layer_linears(shape)) == 7
