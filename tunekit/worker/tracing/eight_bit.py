"""An LLM.int8 linear layer of bitsandbytes 0.50 that runs on fake tensors: the same bytes, no quantised values."""

from __future__ import annotations

from typing import Any

import torch
from bitsandbytes import MatmulLtState
from bitsandbytes.nn import Linear8bitLt

from tunekit.worker.tracing.four_bit import replace_linears

THRESHOLD = 6.0
"""`llm_int8_threshold` of transformers; columns above it, a few in a thousand, are left out here."""


class EightBitLinear(Linear8bitLt):
    """What PEFT takes for bitsandbytes' own layer. A byte per weight."""

    def __init__(self, linear: torch.nn.Linear) -> None:
        torch.nn.Module.__init__(self)
        self.in_features, self.out_features = linear.in_features, linear.out_features
        self.weight = torch.nn.Parameter(torch.empty(linear.weight.shape, dtype=torch.int8), requires_grad=False)
        self.bias = linear.bias
        self.index = None
        self.state = MatmulLtState()
        self.state.threshold, self.state.has_fp16_weights = THRESHOLD, False

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """x times the weight, with bias."""
        return EightBitProduct.apply(x, self.weight, self.bias, self)


class EightBitProduct(torch.autograd.Function):
    """`MatMul8bitLt` of bitsandbytes/autograd/_functions.py: holds its input, dequantises the weight in backward."""

    @staticmethod
    def forward(ctx: Any, x: torch.Tensor, packed: torch.Tensor, bias: torch.Tensor | None, layer: Any) -> torch.Tensor:
        """The input in float16 and in 8 bits, the product in 32 bits and in the input's type."""
        rows = x.reshape(-1, layer.in_features)
        small = rows.to(torch.float16).to(torch.int8)
        whole = small.new_empty((rows.shape[0], layer.out_features), dtype=torch.int32)
        # Attributes of the node, as there: no hook of saved tensors sees them, and backward does not free them.
        ctx.held = rows if ctx.needs_input_grad[0] else None
        ctx.layer = layer
        return whole.to(x.dtype).reshape(*x.shape[:-1], layer.out_features)

    @staticmethod
    def backward(ctx: Any, *grads: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        """The gradient of x; the base is frozen."""
        if ctx.held is None:
            return None, None, None, None
        weight = grads[0].new_empty((ctx.layer.out_features, ctx.layer.in_features))
        return torch.matmul(grads[0], weight), None, None, None


def use_eight_bits(model: Any) -> None:
    """Replace the linear layers that transformers would replace, and mark the model so that PEFT knows."""
    replace_linears(model, EightBitLinear)
    model.is_loaded_in_8bit = True
