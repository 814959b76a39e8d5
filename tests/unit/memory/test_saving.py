"""What of a card's tensors is copied to RAM while files are written."""

from __future__ import annotations

from typing import Any

import pytest
from memory_jobs import job, llama, machine

from tunekit.memory import saving
from tunekit.memory.case import Case, make_case

SHAPE = llama(layers=4, hidden=256, ffn=512, vocab=4096)
COUNT = SHAPE.num_parameters
LARGE = llama(layers=32, hidden=4096, heads=32, ffn=11008, vocab=32000)


def case(method: str = "full", *, gpus: int = 2, **changes: Any) -> Case:
    return make_case(job(method, **changes), SHAPE, machine(gpus))


def test_saving_takes_what_rank_zero_writes_at_once() -> None:
    assert saving.saving(case(zero={"stage": 3})).host_bytes == 2 * COUNT
    assert saving.saving(case()).host_bytes == 2 * COUNT
    assert saving.saving(case("lora")).host_bytes == 2 * case("lora").inventory.num_trainable
    assert saving.saving(case(gpus=0)).host_bytes == 0


@pytest.mark.parametrize("stage", [2, 3])
def test_a_whole_model_leaves_the_card_file_by_file(stage: int) -> None:
    found = make_case(job(zero={"stage": stage}), LARGE, machine())
    assert saving.saving(found).host_bytes == saving.SAVE_FILE_BYTES
