from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from tests.runs import write_checkpoint
from tunekit.launcher.checkpoints import find_fault
from tunekit.worker.adapters import add_adapters
from tunekit.worker.model import load_model, load_tokenizer
from tunekit.worker.saving import (
    adapter_state,
    files_of,
    make_place,
    save_model_files,
    seal_checkpoint,
    sealed_checkpoints,
    step_of,
    stored_tensors,
)
from tunekit.worker.world import World

pytestmark = pytest.mark.train


def trainer_of(plan: Any, folder: Path, world: World) -> Any:
    model = add_adapters(load_model(plan, folder, world), plan)
    return SimpleNamespace(plan=plan, model=model, processing_class=load_tokenizer(plan, folder))


def test_an_adapter_is_saved_alone_with_its_tokenizer(
    tiny_model: Path, plan_tiny: Any, tmp_path: Path, lonely_world: World
) -> None:
    plan = plan_tiny(method={"kind": "lora"})
    trainer = trainer_of(plan, tiny_model, lonely_world)
    save_model_files(trainer, tmp_path / "final", lonely_world)
    saved = load_file(tmp_path / "final" / "adapter_model.safetensors")
    assert sum(tensor.numel() for tensor in saved.values()) == plan.num_trainable_parameters
    assert not (tmp_path / "final" / "model.safetensors").exists()
    assert (tmp_path / "final" / "tokenizer.json").exists()
    assert "im_start" in (tmp_path / "final" / "chat_template.jinja").read_text()


def test_a_full_model_is_saved_whole(tiny_model: Path, plan_tiny: Any, tmp_path: Path, lonely_world: World) -> None:
    trainer = trainer_of(plan_tiny(), tiny_model, lonely_world)
    save_model_files(trainer, tmp_path / "final", lonely_world)
    saved, original = (load_file(path / "model.safetensors") for path in (tmp_path / "final", tiny_model))
    assert saved.keys() == original.keys()
    assert all(torch.equal(saved[name], original[name]) for name in original)


def test_files_hold_every_tensor_in_order_and_no_more_than_they_may() -> None:
    sizes = {"a": 4, "b": 5, "large": 30, "c": 10, "d": 1}
    assert files_of(sizes, 10) == [["a", "b"], ["large"], ["c"], ["d"]]
    assert files_of(sizes, 100) == [list(sizes)]


def test_a_tied_head_is_stored_once() -> None:
    model = torch.nn.ModuleDict({"embed": torch.nn.Embedding(4, 2), "head": torch.nn.Linear(2, 4, bias=False)})
    model["head"].weight = model["embed"].weight
    model.register_buffer("scale", torch.zeros(3))
    model.register_buffer("cache", torch.zeros(3), persistent=False)
    assert stored_tensors(model) == {"scale": 12, "embed.weight": 32}


def test_only_the_first_rank_holds_the_adapter_in_ram() -> None:
    model = torch.nn.Linear(2, 2)
    model.bias.requires_grad = False
    first, second = (World(rank=rank, local_rank=rank, size=2, device=torch.device("cpu")) for rank in (0, 1))
    assert adapter_state(model, second) is None
    state = adapter_state(model, first)
    assert state is not None
    assert list(state) == ["weight"]
    assert state["weight"].data_ptr() != model.weight.data_ptr()


def test_what_was_cut_short_goes_once_a_newer_one_is_complete(tmp_path: Path, lonely_world: World) -> None:
    for step in (2, 10, 9):
        (tmp_path / f"checkpoint-{step}").mkdir()
        seal_checkpoint(tmp_path / f"checkpoint-{step}", lonely_world, stepping={})
    for name in ("checkpoint-11", "checkpoint-13", "checkpoint-mine"):
        (tmp_path / name).mkdir()
    assert [path.name for path in sealed_checkpoints(tmp_path)] == ["checkpoint-2", "checkpoint-9", "checkpoint-10"]
    (tmp_path / "checkpoint-12").mkdir()
    (tmp_path / "checkpoint-12" / "weights").write_bytes(b"12345")
    (tmp_path / "checkpoint-12" / "a.safetensors").write_bytes(b"123456789")
    seal_checkpoint(tmp_path / "checkpoint-12", lonely_world, stepping={"zenflow": False})
    assert [path.name for path in sealed_checkpoints(tmp_path)][-1] == "checkpoint-12"
    assert not (tmp_path / "checkpoint-11").exists(), "its save was cut short, and step 12 is beyond it"
    assert (tmp_path / "checkpoint-13").exists(), "it may be looked into as long as nothing has passed it"
    assert (tmp_path / "checkpoint-mine").exists(), "what others put there is theirs"
    assert json.loads((tmp_path / "checkpoint-12" / "complete.json").read_text()) == {
        "step": 12,
        "world_size": 1,
        "stepping": {"zenflow": False},
        "files": {"a.safetensors": 9, "weights": 5},
        "checksums": {"a.safetensors": 0xCBF43926},  # what CRC-32 gives for these nine characters
    }


def test_a_checkpoint_of_the_same_step_makes_place_with_all_that_it_had(tmp_path: Path, lonely_world: World) -> None:
    """It was passed over: what it says of itself, and the files of ranks that are no more, would be the new one's."""
    doubtful, torn = write_checkpoint(tmp_path, 4, world_size=4), write_checkpoint(tmp_path, 6, world_size=4)
    (doubtful / "doubtful.json").write_text('{"reason": "nan"}')
    (torn / "complete.json").unlink()
    for folder in (doubtful, torn, tmp_path / "checkpoint-8"):
        make_place(folder, lonely_world)
        assert find_fault(write_checkpoint(tmp_path, step_of(folder), world_size=2)) is None


def test_the_step_stands_in_the_name() -> None:
    assert step_of(Path("runs/a2/checkpoints/checkpoint-120")) == 120
