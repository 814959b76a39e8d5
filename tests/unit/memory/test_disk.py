from typing import Any

import pytest
from memory_jobs import job, llama, machine

from tunekit.memory import disk
from tunekit.memory.case import Case, make_case

SHAPE = llama(hidden=256, ffn=512, vocab=4096)
COUNT = SHAPE.num_parameters


def case(method: str = "full", **changes: Any) -> Case:
    return make_case(job(method, **changes), SHAPE, machine())


@pytest.mark.parametrize(("stage", "each"), [(0, 16), (1, 16), (2, 16), (3, 14)])
def test_a_full_checkpoint(stage: int, each: int) -> None:
    """DeepSpeed's 14 B per parameter (12 in stage 3, which leaves the trained weights out) and the model's own file."""
    assert disk.checkpoint_bytes(case(zero={"stage": stage})) == each * COUNT


def test_an_adapter_checkpoint_leaves_the_base_out() -> None:
    found = case("lora")
    assert disk.checkpoint_bytes(found) == 16 * found.inventory.num_trainable


def test_a_merged_model_lies_beside_the_base() -> None:
    assert disk.merged_model(case("qlora")).disk_bytes == 2 * COUNT
    assert disk.merged_model(case()).disk_bytes == 0


def test_one_checkpoint_more_than_is_kept() -> None:
    assert disk.checkpoints(case(keep_checkpoints=3)).disk_bytes == 4 * 16 * COUNT
    assert disk.checkpoints(case(save_checkpoints=False)).disk_bytes == 0


def test_final_and_base() -> None:
    assert disk.base_model(case("qlora")).disk_bytes == 2 * COUNT
    assert disk.final_model(case()).disk_bytes == 2 * COUNT
    assert disk.final_model(case("lora")).disk_bytes == 2 * case("lora").inventory.num_trainable


def test_swap_files_hold_sixteen_and_two_bytes() -> None:
    both = {"stage": 3, "offload_optimizer": "nvme", "offload_param": "nvme"}
    assert disk.swap_files(case(zero=both)).disk_bytes == 18 * COUNT
    assert disk.swap_files(case(zero={**both, "offload_param": "none"})).disk_bytes == 16 * COUNT
    assert disk.swap_files(case(zero={**both, "stage": 2})).disk_bytes == 0


def test_without_master_copies_a_checkpoint_is_smaller() -> None:
    assert disk.checkpoint_bytes(case(zero={"stage": 0}, precision="fp32")) == (8 + 4 + 4) * COUNT
