from __future__ import annotations

from collections.abc import Callable

from tunekit.model_shape.shape import ModelShape, ParameterTensor


def test_a_tensor_counts_once_per_layer() -> None:
    tensor = ParameterTensor(name="l.{layer}.w", shape=(3, 5), role="linear", count=4, first_layer=2)
    assert (tensor.numel, tensor.total) == (15, 60)
    assert tensor.names == ("l.2.w", "l.3.w", "l.4.w", "l.5.w")
    assert tensor.in_layers


def test_a_tensor_outside_the_layers_has_one_name() -> None:
    tensor = ParameterTensor(name="norm.weight", shape=(7,), role="norm")
    assert tensor.names == ("norm.weight",)
    assert not tensor.in_layers


def test_roles_add_up_to_all_parameters(tiny: Callable[..., ModelShape]) -> None:
    shape = tiny("phi")
    roles = ("embedding", "head", "linear", "expert", "router", "norm", "bias", "other")
    assert sum(shape.count(role) for role in roles) == shape.num_parameters
    assert shape.count("embedding", "head") == 2 * 128 * 64
