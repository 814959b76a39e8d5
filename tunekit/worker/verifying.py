"""Is the saved result what was trained? Read back from the files, not from memory."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from transformers import AutoModelForCausalLM
from transformers.integrations.deepspeed import unset_hf_deepspeed_config

from tunekit.errors import TunekitError
from tunekit.planner.plan import Plan


def verify_final(folder: Path, plan: Plan) -> dict[str, Any]:
    """Check the files in `folder` and say what they hold. TunekitError: the save is not usable, and why."""
    shapes = read_shapes(folder)
    if not shapes:
        raise TunekitError(f"{folder} holds no safetensors file: nothing was saved.")
    check_nothing_is_empty(shapes, folder)
    parameters = sum(map(_numel, shapes.values()))
    if plan.job.adapter is not None:
        check_adapter(folder, parameters, plan)
    else:
        check_model_loads(folder, plan)
    size = sum(path.stat().st_size for path in folder.glob("*.safetensors"))
    return {"path": str(folder), "tensors": len(shapes), "parameters": parameters, "bytes": size}


def read_shapes(folder: Path) -> dict[str, tuple[int, ...]]:
    """Name and shape of every tensor, from the headers of the folder's safetensors files."""
    shapes: dict[str, tuple[int, ...]] = {}
    for path in sorted(folder.glob("*.safetensors")):
        with safe_open(path, framework="pt") as file:
            shapes |= {name: tuple(file.get_slice(name).get_shape()) for name in file.keys()}  # noqa: SIM118
    return shapes


def check_nothing_is_empty(shapes: dict[str, tuple[int, ...]], folder: Path) -> None:
    """TunekitError: ZeRO-3's placeholders were saved instead of the gathered parameters."""
    empty = [name for name, shape in shapes.items() if 0 in shape]
    if empty:
        raise TunekitError(f"{len(empty)} of {len(shapes)} tensors in {folder} are empty, first {empty[0]}.")


def check_adapter(folder: Path, parameters: int, plan: Plan) -> None:
    """TunekitError: parameters are missing, are not numbers, or no adapter moved from its start at zero."""
    if parameters != plan.num_trainable_parameters:
        raise TunekitError(f"{folder} holds {parameters:,} parameters, {plan.num_trainable_parameters:,} were trained.")
    moved = 0
    for name, tensor in _tensors(folder):
        if not torch.isfinite(tensor).all():
            raise TunekitError(f"{name} in {folder} holds values that are not numbers: training diverged.")
        moved += "lora_B" in name and bool(tensor.any())
    if not moved:
        raise TunekitError(
            f"every lora_B in {folder} is still zero: nothing was learned. "
            "The first step of a warm-up has learning rate 0; with a single step, set train.warmup_ratio=0."
        )


def check_model_loads(folder: Path, plan: Plan) -> None:
    """Load the model again, on the meta device. TunekitError: tensors are missing, left over or of another shape."""
    # from_pretrained would otherwise build the model for ZeRO-3, on one rank alone.
    unset_hf_deepspeed_config()
    _, found = AutoModelForCausalLM.from_pretrained(
        folder,
        device_map="meta",
        output_loading_info=True,
        trust_remote_code=plan.recipe.model.trust_remote_code,
    )
    wrong = {name: sorted(map(str, keys)) for name, keys in found.items() if keys}
    if wrong:
        raise TunekitError(f"{folder} does not load again: {wrong}.")


def _tensors(folder: Path) -> Any:
    for path in sorted(folder.glob("*.safetensors")):
        with safe_open(path, framework="pt") as file:
            for name in file.keys():  # noqa: SIM118
                yield name, file.get_tensor(name)


def _numel(shape: tuple[int, ...]) -> int:
    return torch.Size(shape).numel()
