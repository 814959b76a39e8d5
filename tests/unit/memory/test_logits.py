from typing import Any

import pytest
from memory_jobs import job, llama, machine

from tunekit.memory import logits
from tunekit.memory.case import Case, make_case

SHAPE = llama(vocab=50_000)


def case(method: str = "lora", *, gpus: int = 1, **changes: Any) -> Case:
    return make_case(job(method, ranks=1, **changes), SHAPE, machine(gpus))


def test_full_logits_take_twelve_bytes_per_entry_of_the_vocabulary() -> None:
    assert logits.loss(case(loss="full")).device_bytes == (12 * 50_000 + 4 * 64) * 2048
    assert logits.loss(case("full", loss="full")).device_bytes == (12 * 50_000 + 8 * 64) * 2048


def test_the_chunked_loss_holds_one_tile() -> None:
    assert logits.loss(case()).device_bytes == 2 * 2048 * 32768 + 12 * 64 * 2048


def test_the_tile_stops_growing_at_4096_tokens() -> None:
    short, long = (logits.loss(case(max_seq_length=n)).device_bytes for n in (4096, 8192))
    assert long - short == 12 * 64 * 4096


def test_without_triton_the_tile_is_no_wider_than_the_vocabulary() -> None:
    small = make_case(job("lora", ranks=1), llama(vocab=1000), machine(0))
    assert logits.loss(small).device_bytes == 31 * 2048 * 1000 + 12 * 64 * 2048


@pytest.mark.parametrize(
    ("method", "loss", "size"), [("full", "chunked", 4 * 50_000 * 64), ("full", "full", 0), ("lora", "chunked", 0)]
)
def test_a_trained_head_is_summed_in_float32(method: str, loss: str, size: int) -> None:
    assert logits.head_gradient(case(method, loss=loss)).device_bytes == size


def test_evaluation_follows_the_loss() -> None:
    assert logits.evaluation_loss(case(loss="full")).device_bytes == 10 * 50_000 * 2048
    assert logits.evaluation_loss(case()).device_bytes < logits.loss(case()).device_bytes
