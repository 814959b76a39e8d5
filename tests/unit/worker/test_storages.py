"""Weights that lie in one flat buffer are written as if each had its own."""

from __future__ import annotations

import zipfile
from collections import OrderedDict
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from tunekit.worker.storages import PLAIN_WRITER, apart, part_checkpoints

pytestmark = pytest.mark.train
DTYPES = (torch.bfloat16, torch.float16, torch.float32, torch.uint8)


def flat_module(dtype: torch.dtype = torch.bfloat16) -> OrderedDict[str, Any]:
    """Two weights and a tied one in one buffer of 300, and a buffer of a module beside it."""
    flat = torch.arange(300).to(dtype)
    state = OrderedDict(one=flat[:200].view(10, 20), two=flat[200:].view(100), tied=flat[:200].view(10, 20))
    state["norm"] = torch.ones(4)
    state._metadata = {"": {"version": 2}}  # type: ignore[attr-defined]
    return state


def engine_that(save: Any, name: str = PLAIN_WRITER) -> Any:
    return SimpleNamespace(checkpoint_engine=SimpleNamespace(save=save, name=name))


@pytest.mark.parametrize("dtype", DTYPES)
def test_each_has_a_storage_of_its_own_and_nothing_is_copied(dtype: torch.dtype) -> None:
    before = flat_module(dtype)
    after: Any = apart(before)
    assert list(after) == list(before)
    for name, tensor in after.items():
        assert torch.equal(tensor, before[name])
        assert tensor.data_ptr() == before[name].data_ptr()
        assert tensor.untyped_storage().nbytes() == tensor.numel() * tensor.element_size()
    assert after["one"] is after["tied"]
    assert after["norm"] is before["norm"]
    assert after._metadata == before._metadata  # type: ignore[attr-defined]


def test_an_engine_writes_the_largest_weight_at_once_and_reads_the_same(tmp_path: Path) -> None:
    """What one record of the file holds is what `torch.save` copies from a card to RAM at once."""
    engine = engine_that(torch.save)
    module = flat_module()
    state = {"module": module, "global_steps": 3}
    torch.save(state, tmp_path / "whole.pt")
    part_checkpoints(engine)
    engine.checkpoint_engine.save(state_dict=state, path=tmp_path / "parted.pt")
    assert largest_record(tmp_path / "whole.pt") == 2 * 300
    assert largest_record(tmp_path / "parted.pt") == 2 * 200
    read = torch.load(tmp_path / "parted.pt", weights_only=False)
    assert read["global_steps"] == 3
    assert all(torch.equal(read["module"][name], tensor) for name, tensor in module.items())
    assert read["module"]["one"].data_ptr() == read["module"]["tied"].data_ptr(), "written once"


def test_files_of_the_optimizer_are_left_alone(tmp_path: Path) -> None:
    seen: list[Any] = []
    engine = engine_that(lambda state_dict, path: seen.append(state_dict))
    part_checkpoints(engine)
    states: dict[str, Any] = {"optimizer_state_dict": {}}
    engine.checkpoint_engine.save(states, tmp_path / "states.pt")
    assert seen == [states]


def test_another_writer_is_left_alone() -> None:
    engine = engine_that(torch.save, name="FastCheckpointEngine")
    part_checkpoints(engine)
    assert engine.checkpoint_engine.save is torch.save


def largest_record(path: Path) -> int:
    with zipfile.ZipFile(path) as file:
        return max(each.file_size for each in file.infolist() if "/data/" in each.filename)
