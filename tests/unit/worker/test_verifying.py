from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from tunekit.errors import TunekitError
from tunekit.worker.adapters import add_adapters
from tunekit.worker.model import load_model
from tunekit.worker.verifying import read_shapes, verify_final
from tunekit.worker.world import World

pytestmark = pytest.mark.train
CPU = World(rank=0, local_rank=0, size=1, device=torch.device("cpu"))
FILE = "adapter_model.safetensors"


@pytest.fixture
def adapter(tiny_model: Path, plan_tiny: Any, tmp_path: Path) -> tuple[Path, Any]:
    """A folder with a saved adapter that has learned something, and its plan."""
    plan = plan_tiny(method={"kind": "lora"})
    model = add_adapters(load_model(plan, tiny_model, CPU), plan)
    for name, parameter in model.named_parameters():
        if "lora_B" in name:
            parameter.data += 1
    model.save_pretrained(tmp_path / "final")
    return tmp_path / "final", plan


def change(folder: Path, **tensors: Any) -> None:
    """Rewrite the adapter with `tensors` computed from the old ones."""
    saved = load_file(folder / FILE)
    save_file({name: tensors["change"](name, tensor) for name, tensor in saved.items()}, folder / FILE)


def test_a_good_adapter_passes(adapter: tuple[Path, Any]) -> None:
    folder, plan = adapter
    found = verify_final(folder, plan)
    assert found["parameters"] == plan.num_trainable_parameters
    assert found["tensors"] == 28
    assert found["bytes"] == (folder / FILE).stat().st_size


def test_an_empty_folder_is_no_result(plan_tiny: Any, tmp_path: Path) -> None:
    with pytest.raises(TunekitError, match="nothing was saved"):
        verify_final(tmp_path / "final", plan_tiny())


def test_placeholders_of_zero_3_are_found(adapter: tuple[Path, Any]) -> None:
    folder, plan = adapter
    change(folder, change=lambda name, tensor: tensor[:0] if "layers.1" in name else tensor)
    with pytest.raises(TunekitError, match="14 of 28 tensors .* are empty"):
        verify_final(folder, plan)


def test_missing_parameters_are_counted(adapter: tuple[Path, Any]) -> None:
    folder, plan = adapter
    saved = load_file(folder / FILE)
    name = next(iter(saved))
    save_file({key: tensor for key, tensor in saved.items() if key != name}, folder / FILE)
    with pytest.raises(TunekitError, match=f"{plan.num_trainable_parameters:,} were trained"):
        verify_final(folder, plan)


def test_an_adapter_that_did_not_move_is_no_result(adapter: tuple[Path, Any]) -> None:
    folder, plan = adapter
    change(folder, change=lambda name, tensor: torch.zeros_like(tensor) if "lora_B" in name else tensor)
    with pytest.raises(TunekitError, match="nothing was learned"):
        verify_final(folder, plan)


def test_values_that_are_not_numbers_are_found(adapter: tuple[Path, Any]) -> None:
    folder, plan = adapter
    change(folder, change=lambda name, tensor: tensor * float("nan"))
    with pytest.raises(TunekitError, match="training diverged"):
        verify_final(folder, plan)


def test_a_full_model_loads_again(tiny_model: Path, plan_tiny: Any) -> None:
    plan = plan_tiny()
    assert verify_final(tiny_model, plan)["parameters"] == plan.num_trainable_parameters


def test_a_full_model_without_a_layer_does_not(tiny_model: Path, plan_tiny: Any, tmp_path: Path) -> None:
    broken = tmp_path / "broken"
    broken.mkdir()
    (broken / "config.json").write_text((tiny_model / "config.json").read_text())
    saved = load_file(tiny_model / "model.safetensors")
    gone = "model.layers.1.mlp.up_proj.weight"
    save_file({name: tensor for name, tensor in saved.items() if name != gone}, broken / "model.safetensors")
    with pytest.raises(TunekitError, match="does not load again.*up_proj"):
        verify_final(broken, plan_tiny())


def test_shapes_come_from_the_headers(adapter: tuple[Path, Any]) -> None:
    shapes = read_shapes(adapter[0])
    assert all(len(shape) == 2 for shape in shapes.values())
