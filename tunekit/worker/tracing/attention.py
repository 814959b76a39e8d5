"""Attention kernels of a GPU by the memory they take: what they save for backward and what backward needs for a moment.

A trace runs where the kernels do not exist. Each stands in as a function that allocates what the kernel allocates:
torch 2.13 `aten/src/ATen/native/transformers/cuda/` (flash_attn/flash_api.cpp, attention.cu, attention_backward.cu,
mem_eff_attention/kernel_backward.h) and flash-attn 2.8 `csrc/flash_attn/flash_api.cpp`.
"""

from __future__ import annotations

from typing import Any, Literal

import torch

from tunekit.recipe.job import Accelerator

Kernel = Literal["flash", "efficient", "math", "cpu"]
NAMES: dict[Kernel, str] = {
    "flash": "flash (in torch)",
    "efficient": "memory-efficient (in torch)",
    "math": "plain matrix products (in torch)",
    "cpu": "flash of the CPU (in torch)",
}
WIDEST_FLASH_HEAD = 256
"""`check_head_dim_size_flash` in torch's sdp_utils.cpp."""
_ROWS = 128
"""Flash backward rounds the tokens of a row up to this for its sums."""


class FlashAttention(torch.autograd.Function):
    """Keeps q, k, v, the output and 4 bytes per head and token; backward sums the gradient of q in 32 bits.

    Tensors are [rows, tokens, heads, width]; k and v may have fewer heads, whose gradients are then first made for all
    heads of q.
    """

    @staticmethod
    def forward(ctx: Any, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor) -> torch.Tensor:
        """The output, laid out as the query."""
        made = torch.empty_like(query)
        ctx.save_for_backward(query, key, value, made, _per_token(query, query.shape[1]))
        return made

    @staticmethod
    def backward(ctx: Any, *grads: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """Gradients of q, k and v."""
        query, key, value, *_ = ctx.saved_tensors
        gradients = tuple(torch.empty_like(each) for each in (query, key, value))
        rows, tokens, heads, width = query.shape
        rounded = -(-tokens // _ROWS) * _ROWS
        sums = [query.new_empty((rows, rounded, heads, -(-width // 32) * 32), dtype=torch.float32)]
        sums.append(_per_token(query, rounded))
        if key.shape[2] != heads:
            sums += [query.new_empty((rows, key.shape[1], heads, width)) for _ in range(2)]
        return gradients


class EfficientAttention(torch.autograd.Function):
    """Keeps q, k, v, the bias, the output and 4 bytes per head and token; backward sums the gradient of q in 32 bits.

    Tensors are [rows, heads, tokens, width], all with the heads of q.
    """

    @staticmethod
    def forward(
        ctx: Any, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, bias: torch.Tensor | None
    ) -> torch.Tensor:
        """The output, laid out as [rows, tokens, heads, width]."""
        rows, heads, tokens, _ = query.shape
        made = query.new_empty((rows, tokens, heads, value.shape[-1])).transpose(1, 2)
        ctx.save_for_backward(
            query, key, value, bias, made, query.new_empty((rows, heads, tokens), dtype=torch.float32)
        )
        return made

    @staticmethod
    def backward(ctx: Any, *grads: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        """Gradients of q, k and v, none of the bias."""
        query, key, value, *_ = ctx.saved_tensors
        gradients = tuple(torch.empty_like(each) for each in (query, key, value))
        sums = [query.new_empty(query.shape[:3], dtype=torch.float32)]
        if query.dtype != torch.float32:
            sums.append(query.new_empty(query.shape, dtype=torch.float32))
        return *gradients, None


class CpuAttention(EfficientAttention):
    """What torch's attention of the CPU keeps: the same, but it sums in a scratch per thread."""

    @staticmethod
    def backward(ctx: Any, *grads: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        """Gradients of q, k and v, none of the bias."""
        query, key, value, *_ = ctx.saved_tensors
        return *(torch.empty_like(each) for each in (query, key, value)), None


def choose_kernel(
    accelerator: Accelerator, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, rest: Any
) -> Kernel:
    """The kernel that torch's scaled_dot_product_attention takes: flash without a mask in 16 bits, else the next.

    Ampere and newer are assumed. Heads of keys must be as many as of queries; flash repeats them itself if asked to.
    `rest` are torch's further arguments by name (sdp_utils.cpp, `check_batch_size_and_num_heads_dense`).
    """
    same_width = query.shape[-1] == value.shape[-1]
    if accelerator == "cpu":
        return "cpu" if same_width else "math"
    half = query.dtype in (torch.float16, torch.bfloat16)
    same_heads = query.shape[1] == key.shape[1]
    narrow = same_width and query.shape[-1] <= WIDEST_FLASH_HEAD
    if half and narrow and rest.get("attn_mask") is None and (same_heads or rest.get("enable_gqa")):
        return "flash"
    return "efficient" if same_heads else "math"


def attend(kernel: Kernel, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, rest: Any) -> torch.Tensor:
    """Attention of [rows, heads, tokens, width] as `kernel` does it; `rest` are torch's further arguments by name."""
    if kernel == "math":
        return _plain(query, key, value, rest)
    if kernel == "flash":
        return _flash(query, key, value)
    function = CpuAttention if kernel == "cpu" else EfficientAttention
    return function.apply(query, key, value, _bias(rest.get("attn_mask"), query))


def _flash(query: torch.Tensor, key: torch.Tensor, value: torch.Tensor) -> torch.Tensor:
    width = query.shape[-1]
    filling = -width % 8
    if filling:
        query, key, value = (torch.nn.functional.pad(each, (0, filling)) for each in (query, key, value))
    made = FlashAttention.apply(query.transpose(1, 2), key.transpose(1, 2), value.transpose(1, 2)).transpose(1, 2)
    return made[..., :width] if filling else made


def _plain(query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, rest: Any) -> torch.Tensor:
    return torch.ops.aten._scaled_dot_product_attention_math(
        query,
        key,
        value,
        rest.get("attn_mask"),
        rest.get("dropout_p", 0.0),
        rest.get("is_causal", False),
        scale=rest.get("scale"),
        enable_gqa=rest.get("enable_gqa", False),
    )[0]


def _bias(mask: torch.Tensor | None, query: torch.Tensor) -> torch.Tensor | None:
    """A mask of truth values becomes a bias, anew at every call; its rows are padded to 16 elements."""
    if mask is None:
        return None
    if mask.dtype == torch.bool:
        mask = torch.where(mask, 0.0, torch.full((), float("-inf"), dtype=query.dtype))
    filling = -mask.shape[-1] % 16
    if filling:
        mask = torch.nn.functional.pad(mask, (0, filling))[..., :-filling]
    return mask.expand(query.shape[0], query.shape[1], *mask.shape[-2:])


def _per_token(query: torch.Tensor, tokens: int) -> torch.Tensor:
    """One 32-bit number per row, head and token."""
    return query.new_empty((query.shape[0], query.shape[2], tokens), dtype=torch.float32)


def flash_attn_func(  # noqa: PLR0913 - as flash-attn names them; transformers looks at the names
    q: torch.Tensor,
    k: torch.Tensor,
    v: torch.Tensor,
    dropout_p: float = 0.0,
    softmax_scale: float | None = None,
    causal: bool = False,
    window_size: tuple[int, int] = (-1, -1),
    softcap: float = 0.0,
    deterministic: bool = False,
) -> torch.Tensor:
    """flash-attn's function of this name, for rows of one length."""
    return FlashAttention.apply(q, k, v)


def flash_attn_varlen_func(  # noqa: PLR0913
    q: torch.Tensor,
    k: torch.Tensor,
    v: torch.Tensor,
    cu_seqlens_q: torch.Tensor,
    cu_seqlens_k: torch.Tensor,
    max_seqlen_q: int,
    max_seqlen_k: int,
    dropout_p: float = 0.0,
    softmax_scale: float | None = None,
    causal: bool = False,
    window_size: tuple[int, int] = (-1, -1),
    softcap: float = 0.0,
    deterministic: bool = False,
) -> torch.Tensor:
    """flash-attn's function of this name: tokens of all samples in one row, [tokens, heads, width]."""
    return FlashAttention.apply(q[None], k[None], v[None])[0]
