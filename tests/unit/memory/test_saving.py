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
CPU: dict[str, Any] = {"offload_optimizer": "cpu"}


def case(method: str = "full", *, gpus: int = 2, save: bool = True, **changes: Any) -> Case:
    return make_case(job(method, save_checkpoints=save, **changes), SHAPE, machine(gpus))


def test_without_checkpoints_rank_zero_writes_the_model() -> None:
    assert saving.saving(case(zero={"stage": 3}, save=False)).host_bytes == 2 * COUNT
    lora = saving.saving(case("lora", save=False))
    assert (lora.host_bytes, lora.kind) == (2 * case("lora").inventory.num_trainable, "exact")
    assert saving.saving(case(gpus=0)).host_bytes == 0


@pytest.mark.parametrize("stage", [2, 3])
def test_a_whole_model_leaves_the_card_file_by_file(stage: int) -> None:
    found = make_case(job(zero={"stage": stage}, save_checkpoints=False), LARGE, machine())
    assert saving.saving(found).host_bytes == saving.SAVE_FILE_BYTES


@pytest.mark.parametrize("ranks", [1, 2, 4])
def test_every_rank_copies_its_largest_flat_master(ranks: int) -> None:
    found = case(zero={"stage": 2}, ranks=ranks)
    term = saving.saving(found)
    assert (term.kind, term.low) == ("bound", 0.5)
    assert term.host_bytes == ranks * 4 * max(found.group_partitions) == pytest.approx(4 * COUNT, rel=0.01)
    bf16 = case(zero={"stage": 2, "bf16_states": True}, ranks=ranks)
    assert 2 * saving.checkpoint_copies(bf16) == saving.checkpoint_copies(found)


def test_stage_three_copies_a_sub_group() -> None:
    found = case(zero={"stage": 3, "sub_group_size": 300_000})
    assert saving.checkpoint_copies(found) == 2 * 4 * max(found.sub_groups) < 4 * COUNT


def test_what_is_offloaded_is_written_from_where_it_lies() -> None:
    two, three = (case(zero={"stage": stage, **CPU}) for stage in (2, 3))
    assert saving.checkpoint_copies(two) == 2 * two.inventory.largest_trainable, "the largest weight of the module"
    assert saving.checkpoint_copies(three) == 0
    half = case(zero={"stage": 3, **CPU, "offload_ratio": 0.5, "sub_group_size": 300_000})
    on_card = half.sub_groups[: len(half.sub_groups) // 2]
    assert saving.checkpoint_copies(half) == 2 * 4 * max(on_card) > 0
    assert saving.checkpoint_copies(case(zero={"stage": 3, "offload_optimizer": "nvme"})) == 0


def test_a_large_model_with_offload_copies_its_file_and_no_more() -> None:
    found = make_case(job(zero={"stage": 2, **CPU}, save_checkpoints=True), LARGE, machine())
    assert saving.saving(found).host_bytes == saving.SAVE_FILE_BYTES


def test_nothing_is_copied_where_all_is_in_ram_or_nothing_saved() -> None:
    assert saving.checkpoint_copies(case(gpus=0)) == 0
    assert saving.checkpoint_copies(case(save=False)) == 0
    assert saving.checkpoint_copies(case(zero={"stage": 0})) == 4 * case().inventory.largest_trainable
    plain = case(zero={"stage": 0}, precision="fp32")
    assert saving.checkpoint_copies(plain) == 4 * plain.inventory.largest_trainable
