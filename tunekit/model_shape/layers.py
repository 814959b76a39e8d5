"""Per-layer views of a shape that memory and speed models need."""

from __future__ import annotations

from functools import lru_cache

from tunekit.model_shape.modules import LinearModule, linear_modules
from tunekit.model_shape.shape import ModelShape, ParameterTensor


@lru_cache(maxsize=64)
def parameters_per_layer(shape: ModelShape) -> tuple[int, ...]:
    """Elements of each decoder layer, first to last."""
    sizes = [0] * shape.num_layers
    for tensor in shape.tensors:
        if tensor.in_layers:
            for layer in range(tensor.first_layer, tensor.first_layer + tensor.count):
                sizes[layer] += tensor.numel
    return tuple(sizes)


def largest_layer(shape: ModelShape) -> int:
    """Elements of the largest decoder layer."""
    return max(parameters_per_layer(shape))


def largest_tensor(shape: ModelShape) -> ParameterTensor:
    """The parameter with the most elements: what ZeRO-3 gathers at one time at least."""
    return max(shape.tensors, key=lambda tensor: tensor.numel)


def largest_linear(shape: ModelShape) -> LinearModule:
    """The linear with the most elements inside the layers: what a 4-bit base unpacks at one time."""
    return max(linear_modules(shape), key=lambda module: module.into * module.out)


def layer_linears(shape: ModelShape, layer: int = 0) -> tuple[LinearModule, ...]:
    """The linears of one decoder layer in the order of the model; their `into` and `out` are feature counts."""
    return tuple(
        module for module in linear_modules(shape) if module.first_layer <= layer < module.first_layer + module.count
    )
