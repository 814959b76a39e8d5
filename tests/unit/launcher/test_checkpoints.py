from __future__ import annotations

import pytest

from tests.runs import write_checkpoint
from tunekit.launcher.checkpoints import find_fault, list_checkpoints, newest_complete, safetensors_is_whole


@pytest.fixture
def checkpoint(tmp_path):
    return write_checkpoint(tmp_path, 20)


def test_a_complete_one_has_no_fault(checkpoint):
    assert find_fault(checkpoint, world_size=2) is None


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
    assert words in find_fault(checkpoint, world_size=2)


@pytest.mark.parametrize(
    "name",
    ["global_step20/bf16_zero_pp_rank_0_mp_rank_00_optim_states.pt", "rng_state_0.pth", "adapter_model.safetensors"],
)
def test_a_file_that_is_cut_off(checkpoint, name):
    path = checkpoint / name
    path.write_bytes(path.read_bytes()[:-30])
    assert find_fault(checkpoint, world_size=2) == f"{name} is cut off"


def test_a_save_that_was_cut_short(checkpoint):
    (checkpoint / "checkpoint-is-incomplete.txt").touch()
    assert "cut short" in find_fault(checkpoint, world_size=2)
    (checkpoint / "checkpoint-is-incomplete.txt").unlink()
    (checkpoint / "trainer_state.json").write_text('{"global_step": 2')
    assert "trainer_state.json" in find_fault(checkpoint, world_size=2)


def test_another_world_size_cannot_go_on(checkpoint):
    assert "2 optimizer files in global_step20 for 4 processes" in find_fault(checkpoint, world_size=4)


def test_stage_0_has_no_optimizer_files(tmp_path):
    checkpoint = write_checkpoint(tmp_path, 3)
    for path in checkpoint.glob("global_step3/*optim*"):
        path.unlink()
    assert find_fault(checkpoint, world_size=2) is None


def test_the_newest_complete_one_is_resumed(tmp_path):
    for step in (9, 20, 100):
        write_checkpoint(tmp_path, step)
    (tmp_path / "checkpoint-100" / "complete.json").unlink()
    (tmp_path / "checkpoint-tmp").mkdir()
    assert [found.step for found in list_checkpoints(tmp_path, world_size=2)] == [100, 20, 9]
    assert newest_complete(tmp_path, world_size=2).path == tmp_path / "checkpoint-20"
    assert newest_complete(tmp_path / "nowhere", world_size=2) is None


def test_a_header_that_is_no_header(tmp_path):
    path = tmp_path / "x.safetensors"
    for content in (b"", b"1234", b"\xff" * 20, (4).to_bytes(8, "little") + b"oops"):
        path.write_bytes(content)
        assert not safetensors_is_whole(path)
