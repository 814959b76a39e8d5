"""Functions of torch that take other memory on the device that trains than where a trace runs."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from unittest.mock import patch

import torch
from transformers import modeling_flash_attention_utils as flash
from transformers.utils import import_utils

from tunekit.recipe.job import Accelerator
from tunekit.worker.tracing import attention

_HALF = (torch.float16, torch.bfloat16)
_SOFTMAX = torch.softmax
_DROPOUT = torch.nn.functional.dropout


class DeviceKernels:
    """Attention as the accelerator does it; `used` are the kernels met."""

    def __init__(self, accelerator: Accelerator) -> None:
        self.accelerator = accelerator
        self.used: dict[str, None] = {}

    def attention(self, query: Any, key: Any, value: Any, attn_mask: Any = None, *args: Any, **rest: Any) -> Any:
        """torch's scaled_dot_product_attention."""
        rest |= {"attn_mask": attn_mask, **dict(zip(("dropout_p", "is_causal"), args, strict=False))}
        kernel = attention.choose_kernel(self.accelerator, query, key, value, rest)
        self.used[attention.NAMES[kernel]] = None
        return attention.attend(kernel, query, key, value, rest)


def softmax(scores: torch.Tensor, dim: int, dtype: torch.dtype | None = None, **rest: Any) -> torch.Tensor:
    """On a GPU 16-bit scores become 32-bit shares in one kernel, without a 32-bit copy of the scores."""
    if dtype == torch.float32 and scores.dtype in _HALF:
        return torch.ops.aten._softmax(scores, dim, True)
    return _SOFTMAX(scores, dim, dtype=dtype)


def dropout(values: torch.Tensor, p: float = 0.5, training: bool = True, inplace: bool = False) -> torch.Tensor:
    """On a GPU the mask is one byte per element."""
    if training and 0 < p < 1 and not inplace:
        return torch.native_dropout(values, p, training)[0]
    return _DROPOUT(values, p, training, inplace)


@contextmanager
def on_device(accelerator: Accelerator, *, chunked_loss: bool) -> Iterator[DeviceKernels]:
    """Run modelling code with the device's kernels; transformers does not see that tensors are fake.

    Functions are replaced, not intercepted: torch switches interception off for as long as backward runs.
    """
    kernels, gpu = DeviceKernels(accelerator), accelerator == "cuda"
    functions = (attention.flash_attn_func, attention.flash_attn_varlen_func, None)
    stand_ins = (*functions, flash._pad_input, flash._unpad_input)
    with (
        patch.object(import_utils, "is_fake_tensor", lambda tensor: False),
        patch.object(flash, "_lazy_imports", lambda *args, **kwargs: stand_ins),
        patch.object(flash, "_loaded_implementation", None),
        patch.object(torch.nn.functional, "scaled_dot_product_attention", kernels.attention),
        patch.object(torch.nn.functional, "dropout", dropout if gpu else _DROPOUT),
        patch.object(torch, "softmax", softmax if gpu else _SOFTMAX),
        patch.object(torch.Tensor, "softmax", softmax if gpu else torch.Tensor.softmax),
        _triton(gpu and chunked_loss),
    ):
        yield kernels


@contextmanager
def _triton(used: bool) -> Iterator[None]:
    """TRL's chunked loss on a GPU: its kernels work inside the tile, and products are summed in 32 bits at once."""
    if not used:
        yield
        return
    from trl.kernels import chunked_logprob as chunked
    from trl.trainer import utils

    class Cdiv:
        cdiv = staticmethod(lambda one, other: -(-one // other))

    with (
        patch.object(chunked, "_use_triton", lambda device: True),
        patch.object(utils, "_use_triton", lambda device: True),
        patch.object(chunked, "_forward_kernel", _InPlace()),
        patch.object(chunked, "_backward_kernel", _InPlace()),
        patch.object(chunked, "triton", Cdiv, create=True),
        patch.object(chunked, "_addmm_fp32", lambda *args: None),
    ):
        yield


class _InPlace:
    """A Triton kernel that allocates nothing: `kernel[grid](...)`."""

    def __getitem__(self, grid: Any) -> Callable[..., None]:
        return lambda *args, **kwargs: None
