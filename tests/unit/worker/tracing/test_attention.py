from __future__ import annotations

import pytest

torch = pytest.importorskip("torch")

from tunekit.worker.tracing import attention  # noqa: E402
from tunekit.worker.tracing.attention import attend, choose_kernel  # noqa: E402

pytestmark = pytest.mark.train


def heads(count: int, *, width: int = 16, tokens: int = 8, dtype: torch.dtype = torch.bfloat16) -> torch.Tensor:
    return torch.zeros(2, count, tokens, width, dtype=dtype, requires_grad=True)


def saved_by(kernel: attention.Kernel, *inputs: torch.Tensor, **rest: torch.Tensor) -> list[torch.Tensor]:
    """Tensors that autograd saves of what the kernel made itself."""
    own = {each.untyped_storage().data_ptr() for each in inputs}
    kept: dict[int, torch.Tensor] = {}

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        kept.setdefault(tensor.untyped_storage().data_ptr(), tensor)
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        attend(kernel, *inputs, rest)
    return [each for pointer, each in kept.items() if pointer not in own]


def test_flash_is_taken_without_a_mask_in_16_bits() -> None:
    query, key, mask = heads(4), heads(2), torch.ones(8, 8, dtype=torch.bool)
    masked, grouped = {"attn_mask": mask}, {"enable_gqa": True}
    assert choose_kernel("cuda", query, query, query, {}) == "flash"
    assert choose_kernel("cuda", query, key, key, grouped) == "flash"
    assert choose_kernel("cuda", query, key, key, {}) == "math"
    assert choose_kernel("cuda", query, query, query, masked) == "efficient"
    assert choose_kernel("cuda", query, key, key, masked) == "math"
    assert choose_kernel("cuda", query.float(), query.float(), query.float(), {}) == "efficient"
    assert choose_kernel("cuda", heads(4, width=512), heads(4, width=512), heads(4, width=512), {}) == "efficient"
    assert choose_kernel("cpu", query, key, key, masked) == "cpu"


def test_flash_saves_its_output_and_four_bytes_per_head_and_token() -> None:
    query, key = heads(4), heads(2)
    output, sums = saved_by("flash", query, key, key)
    assert output.shape == (2, 8, 4, 16)
    assert (sums.shape, sums.dtype) == ((2, 4, 8), torch.float32)


def test_a_mask_becomes_a_bias_that_every_call_saves() -> None:
    query, mask = heads(4), torch.ones(2, 1, 8, 8, dtype=torch.bool)
    saved = saved_by("efficient", query, query, query, attn_mask=mask)
    # Rows of the bias are padded from 8 to 16 elements of 2 bytes.
    assert 2 * 8 * 16 * 2 in {each.untyped_storage().nbytes() for each in saved}


@pytest.mark.parametrize("kernel", ["flash", "efficient", "math", "cpu"])
def test_gradients_have_the_shapes_of_what_they_are_of(kernel: attention.Kernel) -> None:
    query = heads(4)
    key, value = (heads(2), heads(2)) if kernel in ("flash", "cpu") else (heads(4), heads(4))
    attend(kernel, query, key, value, {}).sum().backward()
    assert [each.grad.shape for each in (query, key, value)] == [each.shape for each in (query, key, value)]


def test_narrow_heads_are_padded_for_flash() -> None:
    query = heads(2, width=20)
    made = attend("flash", query, query, query, {})
    assert made.shape == query.shape
    assert any(each.shape[-1] == 24 for each in saved_by("flash", query, query, query))


def test_the_stand_ins_take_the_arguments_of_flash_attn() -> None:
    row = torch.zeros(8, 4, 16, dtype=torch.bfloat16)
    ends = torch.tensor([0, 8], dtype=torch.int32)
    assert attention.flash_attn_func(row[None], row[None], row[None], causal=True).shape == (1, 8, 4, 16)
    made = attention.flash_attn_varlen_func(
        row, row, row, cu_seqlens_q=ends, cu_seqlens_k=ends, max_seqlen_q=8, max_seqlen_k=8, causal=True
    )
    assert made.shape == row.shape
