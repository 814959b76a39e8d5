from __future__ import annotations

import pytest

from tests.runs import write_checkpoint, write_json, write_safetensors, write_zip
from tunekit.launcher.checkpoints import (
    bytes_below,
    find_fault,
    list_checkpoints,
    newest_complete,
    passed_over,
    states_folder,
)


@pytest.fixture
def checkpoint(tmp_path):
    return write_checkpoint(tmp_path, 20)


def test_a_complete_one_has_no_fault(checkpoint):
    assert find_fault(checkpoint) is None


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("trainer_state.json", "cut short"),
        ("complete.json", "cut short"),
        ("latest", "`latest` names nothing"),
        ("rng_state_1.pth", "rng_state_1.pth is missing"),
        ("global_step20/mp_rank_00_model_states.pt", "no model states"),
        ("global_step20/bf16_zero_pp_rank_1_mp_rank_00_optim_states.pt", "1 optimizer files in global_step20 for 2"),
    ],
)
def test_a_file_that_is_missing(checkpoint, name, words):
    (checkpoint / name).unlink()
    assert words in find_fault(checkpoint)


@pytest.mark.parametrize(
    "name",
    ["global_step20/bf16_zero_pp_rank_0_mp_rank_00_optim_states.pt", "rng_state_0.pth", "adapter_model.safetensors"],
)
def test_a_file_that_is_cut_off(checkpoint, name):
    path = checkpoint / name
    path.write_bytes(path.read_bytes()[:-30])
    assert find_fault(checkpoint) == f"{name} is cut off"


def test_a_save_that_was_cut_short(checkpoint):
    (checkpoint / "checkpoint-is-incomplete.txt").touch()
    assert "cut short" in find_fault(checkpoint)
    (checkpoint / "checkpoint-is-incomplete.txt").unlink()
    (checkpoint / "trainer_state.json").write_text('{"global_step": 2')
    assert "trainer_state.json" in find_fault(checkpoint)


def test_as_many_ranks_as_wrote_must_have_files(tmp_path):
    checkpoint = write_checkpoint(tmp_path, 20)
    write_json(checkpoint / "complete.json", {"step": 20, "world_size": 4})
    assert "2 optimizer files in global_step20 for 4 processes" in find_fault(checkpoint)
    write_json(checkpoint / "complete.json", {"step": 20})
    assert "does not say how many ranks" in find_fault(checkpoint)


def test_one_rank_alone_keeps_its_random_numbers_under_another_name(tmp_path):
    checkpoint = write_checkpoint(tmp_path, 20, world_size=1)
    assert find_fault(checkpoint) is None
    (checkpoint / "rng_state.pth").unlink()
    assert find_fault(checkpoint) == "rng_state.pth is missing"


def test_every_file_must_have_the_size_it_was_sealed_with(checkpoint):
    sizes = {"trainer_state.json": (checkpoint / "trainer_state.json").stat().st_size, "optimizer": 5}
    write_json(checkpoint / "complete.json", {"step": 20, "world_size": 2, "files": sizes})
    assert find_fault(checkpoint) == "optimizer is missing"
    (checkpoint / "optimizer").write_bytes(b"1234")
    assert find_fault(checkpoint) == "optimizer has 4 bytes, 5 were written"
    (checkpoint / "optimizer").write_bytes(b"12345")
    assert find_fault(checkpoint) is None


def test_placeholders_of_zero_3_are_no_weights(checkpoint):
    write_safetensors(checkpoint / "adapter_model.safetensors", shape=(0,))
    assert "adapter_model.safetensors holds empty tensors, first lora_A" in find_fault(checkpoint)


def test_weights_in_parts_and_swap_files_of_every_rank(tmp_path):
    checkpoint = write_checkpoint(tmp_path, 20)
    states = states_folder(checkpoint)
    assert list_checkpoints(tmp_path)[0].spread == "optimizer"
    write_zip(states / "zero_pp_rank_0_mp_rank_00_model_states.pt")
    assert "1 files of model states" in find_fault(checkpoint)
    write_zip(states / "zero_pp_rank_1_mp_rank_00_model_states.pt")
    (found,) = list_checkpoints(tmp_path)
    assert (found.complete, found.spread, found.world_size, found.swapped) == (True, "all", 2, False)
    (states / "offloaded_tensors" / "rank00").mkdir(parents=True)
    assert "swap files of 1 ranks" in find_fault(checkpoint)


def test_stage_0_has_no_optimizer_files(tmp_path):
    checkpoint = write_checkpoint(tmp_path, 3)
    for path in checkpoint.glob("global_step3/*optim*"):
        path.unlink()
    assert find_fault(checkpoint) is None


def test_the_newest_complete_one_is_resumed(tmp_path):
    for step in (9, 20, 100):
        write_checkpoint(tmp_path, step)
    (tmp_path / "checkpoint-100" / "complete.json").unlink()
    (tmp_path / "checkpoint-tmp").mkdir()
    assert [found.step for found in list_checkpoints(tmp_path)] == [100, 20, 9]
    assert newest_complete(tmp_path).path == tmp_path / "checkpoint-20"
    assert newest_complete(tmp_path / "nowhere") is None


def test_newer_ones_that_cannot_be_used_are_named(tmp_path):
    for step in (9, 20, 100):
        write_checkpoint(tmp_path, step)
    (tmp_path / "checkpoint-100" / "rng_state_0.pth").unlink()
    chosen = newest_complete(tmp_path)
    assert chosen.step == 20
    assert [(found.step, found.fault) for found in passed_over(tmp_path, chosen)] == [
        (100, "rng_state_0.pth is missing")
    ]


def test_how_the_optimizer_stored_its_states_is_told(checkpoint):
    write_json(checkpoint / "complete.json", {"step": 20, "world_size": 2, "stepping": {"offload_optimizer": "cpu"}})
    assert list_checkpoints(checkpoint.parent)[0].stepping == {"offload_optimizer": "cpu"}


def test_bytes_below_a_folder(tmp_path):
    assert bytes_below(tmp_path / "nothing") == 0
    (tmp_path / "states").mkdir()
    (tmp_path / "states" / "a").write_bytes(b"12345")
    (tmp_path / "b").write_bytes(b"123")
    (tmp_path / "gone").symlink_to(tmp_path / "nowhere")
    assert bytes_below(tmp_path) == 8
