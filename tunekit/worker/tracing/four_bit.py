"""A 4-bit linear layer of bitsandbytes 0.50 that runs on fake tensors: the same bytes, no quantised values."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from bitsandbytes.nn import Linear4bit
from transformers.quantizers.base import get_keys_to_not_convert
from transformers.quantizers.quantizers_utils import should_convert_module

FUSED_TOKENS = 1536
"""Up to so many tokens bitsandbytes may multiply with packed weights (`_gemm_4bit_use_custom_cuda`)."""
_BLOCK = 64


class FourBitLinear(Linear4bit):
    """What PEFT takes for bitsandbytes' own layer. Weights are packed two to a byte."""

    def __init__(self, linear: torch.nn.Linear, *, kind: str, double_quant: bool) -> None:
        torch.nn.Module.__init__(self)
        self.in_features, self.out_features = linear.in_features, linear.out_features
        self.compute_dtype = linear.weight.dtype
        self.double_quant = double_quant
        packed = torch.empty((linear.weight.numel() // 2, 1), dtype=torch.uint8)
        self.weight = torch.nn.Parameter(packed, requires_grad=False)
        self.weight.compress_statistics = double_quant
        self.weight.quant_type = kind
        self.bias = linear.bias

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """x times the dequantised weight, with bias."""
        return FourBitProduct.apply(x, self.weight, self.bias, self)


class FourBitProduct(torch.autograd.Function):
    """`MatMul4Bit` of bitsandbytes/autograd/_functions.py: saves the packed weight, dequantises again in backward."""

    @staticmethod
    def forward(ctx: Any, x: torch.Tensor, packed: torch.Tensor, bias: torch.Tensor | None, layer: Any) -> torch.Tensor:
        """The product; for few tokens without a dequantised copy of the weight."""
        ctx.save_for_backward(packed)
        ctx.layer = layer
        if x.numel() // layer.in_features <= FUSED_TOKENS:
            return x.new_empty((*x.shape[:-1], layer.out_features))
        return torch.nn.functional.linear(x, dequantised(layer, x), bias)

    @staticmethod
    def backward(ctx: Any, *grads: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        """The gradient of x; the base is frozen."""
        if not ctx.needs_input_grad[0]:
            return None, None, None, None
        return torch.matmul(grads[0], dequantised(ctx.layer, grads[0])), None, None, None


def dequantised(layer: FourBitLinear, like: torch.Tensor) -> torch.Tensor:
    """The whole weight in 16 bits; with double quantisation its scales are unpacked first, and shifted into a copy."""
    blocks = layer.in_features * layer.out_features // _BLOCK
    scales = like.new_empty((blocks,), dtype=torch.float32) if layer.double_quant else None
    scales = scales + 0.0 if scales is not None else None
    return like.new_empty((layer.out_features, layer.in_features))


def use_four_bits(model: Any, *, kind: str, double_quant: bool) -> None:
    """Replace the linear layers that transformers would replace, and mark the model so that PEFT knows."""
    replace_linears(model, lambda linear: FourBitLinear(linear, kind=kind, double_quant=double_quant))
    model.is_loaded_in_4bit = True


def replace_linears(model: Any, make: Callable[[torch.nn.Linear], torch.nn.Module]) -> None:
    """Put what `make` makes of them in the places that transformers would give to bitsandbytes; the base is frozen."""
    kept = get_keys_to_not_convert(model)
    for name, module in list(model.named_modules()):
        if type(module) is torch.nn.Linear and should_convert_module(name, kept):
            model.set_submodule(name, make(module))
    model.requires_grad_(False)
