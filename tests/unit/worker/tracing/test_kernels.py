from __future__ import annotations

import pytest

torch = pytest.importorskip("torch")

from transformers import modeling_flash_attention_utils as flash  # noqa: E402
from transformers.utils import import_utils  # noqa: E402

from tunekit.worker.tracing.kernels import on_device  # noqa: E402

pytestmark = pytest.mark.train


def test_attention_is_taken_as_the_device_does_it() -> None:
    query = torch.zeros(1, 2, 8, 16, dtype=torch.bfloat16)
    with on_device("cuda", chunked_loss=False) as kernels:
        made = torch.nn.functional.scaled_dot_product_attention(query, query, query, is_causal=True)
    assert made.shape == query.shape
    assert list(kernels.used) == ["flash (in torch)"]


def test_a_gpu_makes_32_bit_shares_of_16_bit_scores_at_once() -> None:
    scores = torch.zeros(2, 4, dtype=torch.bfloat16, device="meta", requires_grad=True)
    with on_device("cuda", chunked_loss=False):
        shares = torch.nn.functional.softmax(scores, dim=-1, dtype=torch.float32)
    assert shares.dtype == torch.float32
    assert shares.grad_fn.name() == "SoftmaxBackward0"
    assert shares.grad_fn.next_functions[0][0].name() == "torch::autograd::AccumulateGrad"


def test_a_gpu_keeps_one_byte_per_dropped_element() -> None:
    values = torch.ones(64, requires_grad=True)
    with on_device("cuda", chunked_loss=False):
        made = torch.nn.functional.dropout(values, 0.5)
    assert made.grad_fn.name() == "NativeDropoutBackward0"
    with on_device("cpu", chunked_loss=False):
        assert torch.nn.functional.dropout(values, 0.5).grad_fn.name() == "MulBackward0"


def test_all_is_as_before_afterwards() -> None:
    def now() -> tuple[object, ...]:
        functional = torch.nn.functional
        replaced = (functional.scaled_dot_product_attention, functional.dropout, torch.softmax, torch.Tensor.softmax)
        return (flash._lazy_imports, import_utils.is_fake_tensor, *replaced)

    before = now()
    with on_device("cuda", chunked_loss=True):
        assert not any(one is other for one, other in zip(before, now(), strict=True))
    assert now() == before
