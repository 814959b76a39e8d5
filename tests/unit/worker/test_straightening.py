from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from tunekit.errors import TunekitError
from tunekit.worker.straightening import check_weights, fragments, straighten

pytestmark = pytest.mark.train
SIZES = {"a": 3, "c": 2, "b": 4, "d": 3}


def test_parameters_are_cut_where_a_rank_ends() -> None:
    """a, c, b, d: twelve elements, six for each rank."""
    first, second = (fragments(SIZES, [0, 0, 0, 0], rank=rank, part=6) for rank in (0, 1))
    assert {name: (part.start, part.numel) for name, part in first.items()} == {"a": (0, 3), "c": (3, 2), "b": (5, 1)}
    assert {name: (part.start, part.numel) for name, part in second.items()} == {"b": (0, 3), "d": (3, 3)}


def test_paddings_lie_between() -> None:
    found = fragments(SIZES, [1, 2, 0, 0], rank=0, part=8)
    assert {name: (part.start, part.numel) for name, part in found.items()} == {"a": (0, 3), "c": (4, 2)}


def test_a_copy_says_where_everything_lies(tmp_path: Path) -> None:
    states = tmp_path / "global_step4"
    states.mkdir()
    torch.save(
        {"param_shapes": [{name: torch.Size([size]) for name, size in SIZES.items()}]}, states / "x_model_states.pt"
    )
    for rank in range(2):
        content = {
            "param_alignment_paddings": [[0, 0, 0, 0]],
            "single_partition_of_fp32_groups": [torch.zeros(6)],
            "group_paddings": [0],
            "param_slice_mappings": ["wrong"],
        }
        torch.save({"optimizer_state_dict": content}, states / f"bf16_zero_pp_rank_{rank}_mp_rank_00_optim_states.pt")
    folder = straighten(states, tmp_path / "straight")
    assert len(list(folder.iterdir())) == 3
    path = folder / "bf16_zero_pp_rank_1_mp_rank_00_optim_states.pt"
    (mapping,) = torch.load(path, weights_only=False)["optimizer_state_dict"]["param_slice_mappings"]
    assert list(mapping) == ["b", "d"]


@pytest.mark.parametrize("name", ["w.weight", "w.default.weight"])
def test_weights_that_come_out_as_something_else_are_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / "zero" / name).mkdir(parents=True)
    saved = tmp_path / "checkpoint-4"
    saved.mkdir()
    save_file(
        {"w.weight": torch.tensor([1.0, 2.0], dtype=torch.bfloat16), "other": torch.ones(1)}, saved / "m.safetensors"
    )
    torch.save({"param": torch.tensor([1.0001, 2.0])}, tmp_path / "zero" / name / "fp32.pt")
    check_weights(tmp_path, saved)
    torch.save(torch.tensor([1.0, 3.0]), tmp_path / "zero" / name / "fp32.pt")
    with pytest.raises(TunekitError, match=r"checkpoint-4 cannot be converted: w.weight"):
        check_weights(tmp_path, saved)
