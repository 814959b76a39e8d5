"""Which weights of a QLoRA base are really held in 4 bits."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import lru_cache

from tunekit.model_shape.shape import ModelShape, ParameterTensor

_SUBCLASSED_LINEARS = frozenset({"falcon"})
"""Families whose linears are a class of their own: bitsandbytes replaces `type(module) is nn.Linear` only."""


@lru_cache(maxsize=64)
def quantized_tensors(shape: ModelShape) -> tuple[ParameterTensor, ...]:
    """The weights that transformers 5.23 replaces by bitsandbytes' Linear4bit, with their 16-bit shapes.

    Embeddings, head, norms, biases, routers and the fused experts of a mixture stay in 16 bits: only nn.Linear is
    replaced (`transformers/integrations/bitsandbytes.py`, `replace_with_bnb_linear`), and never the last module that
    has a parameter (`get_keys_to_not_convert` in `transformers/quantizers/base.py`).
    """
    if shape.family in _SUBCLASSED_LINEARS:
        return ()
    return tuple(_replaced(shape))


def _replaced(shape: ModelShape) -> Iterator[ParameterTensor]:
    last = shape.tensors[-1]
    for tensor in shape.tensors:
        if tensor.role != "linear":
            continue
        if tensor is not last:
            yield tensor
        elif tensor.count > 1:
            yield replace(tensor, count=tensor.count - 1)
