from dataclasses import replace
from typing import Any

import pytest
from memory_jobs import job, llama, machine

from tunekit.memory import disk
from tunekit.memory.case import Case, make_case
from tunekit.memory.estimate import estimate_memory
from tunekit.memory.terms import PlaceEstimate

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


def test_swap_files_are_counted_on_the_fastest_drive_and_the_rest_on_the_first() -> None:
    plain = machine()
    first = plain.disks[0]
    fast = replace(first, name="fast", write_rate=2 * first.write_rate)
    swapping = job(zero={"stage": 3, "offload_optimizer": "nvme", "nvme_path": "/nvme"})

    def found(home: int, swap: int) -> PlaceEstimate:
        drives = (replace(first, name="home", usable_bytes=home), replace(fast, usable_bytes=swap))
        return estimate_memory(swapping, SHAPE, replace(plain, disks=drives)).disk

    moved, whole = 16 * COUNT, estimate_memory(swapping, SHAPE, plain).disk.expected_bytes
    room = found(whole - moved + 7, moved + 9)
    assert (room.expected_bytes, room.headroom_bytes) == (whole, 7)
    assert found(whole, moved - 1).headroom_bytes == -1
    assert found(whole - moved - 1, 10 * whole).headroom_bytes == -1


def test_the_drive_is_named_where_there_are_several() -> None:
    plain = machine()
    drives = (plain.disks[0], replace(plain.disks[0], name="fast", write_rate=10**12))
    swapping = make_case(job(zero={"stage": 3, "offload_optimizer": "nvme"}), SHAPE, replace(plain, disks=drives))
    assert disk.swap_files(swapping).formula.endswith(" on fast")
    assert disk.base_model(swapping).formula.endswith(f" on {drives[0].name}")
    assert disk.checkpoints(swapping).formula.endswith(f" on {drives[0].name}")
    assert " on " not in disk.swap_files(case()).formula
