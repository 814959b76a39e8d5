"""Where the parts of each parameter really lie in a checkpoint of ZeRO 1 or 2 that hands gradients round.

With `round_robin_gradients` DeepSpeed lays parameters out in another order than its map of slices says (deepspeed
0.19.8: `zero/stage_1_and_2.py` flattens `round_robin_bit16_groups`, but maps `bit16_groups`); `param_shapes` has the
right one. Its converter would cut the right sizes out of the wrong places, without an error.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from math import prod
from pathlib import Path
from typing import Any

import torch
from deepspeed.utils.tensor_fragment import fragment_address
from safetensors import safe_open

from tunekit.errors import TunekitError

STATES, MAPPINGS = "optimizer_state_dict", "param_slice_mappings"


def straighten(states: Path, target: Path) -> Path:
    """A copy of DeepSpeed's files in `states` that says where everything lies; its folder."""
    shutil.rmtree(target, ignore_errors=True)
    target.mkdir(parents=True)
    shapes = _shapes(states)
    for path in states.glob("*model_states.pt"):
        (target / path.name).symlink_to(path.resolve())
    for path in states.glob("*_optim_states.pt"):
        rank = int(path.name.partition("_pp_rank_")[2].partition("_")[0])
        content = torch.load(path, map_location="cpu", weights_only=False)
        content[STATES][MAPPINGS] = [
            fragments(sizes, padding, rank=rank, part=flat.numel() + missing)
            for sizes, padding, flat, missing in zip(
                shapes,
                content[STATES]["param_alignment_paddings"],
                content[STATES]["single_partition_of_fp32_groups"],
                content[STATES]["group_paddings"],
                strict=True,
            )
        ]
        torch.save(content, target / path.name)
    return target


def fragments(
    sizes: Mapping[str, int], paddings: Sequence[int], *, rank: int, part: int
) -> dict[str, fragment_address]:
    """Start and length in `rank`'s part, of `part` elements, of every parameter that lies in it.

    `sizes` are elements in the order in which they are laid out, each followed by its padding.
    """
    found, offset = {}, 0
    for name, padding in zip(sizes, paddings, strict=True):
        start, end = max(offset, rank * part), min(offset + sizes[name], (rank + 1) * part)
        if end > start:
            found[name] = fragment_address(numel=end - start, start=start - rank * part)
        offset += sizes[name] + padding
    return found


def check_weights(converted: Path, saved: Path) -> None:
    """TunekitError: the master weights in zero/ are not the weights that were saved beside them."""
    for path in saved.glob("*.safetensors"):
        with safe_open(path, framework="pt") as file:
            for name in file.keys():  # noqa: SIM118
                master = _master(converted, name)
                tensor = file.get_tensor(name)
                if master is not None and not torch.equal(master.to(tensor.dtype).flatten(), tensor.flatten()):
                    raise TunekitError(f"{saved.name} cannot be converted: {name} would come out as something else.")


def _master(converted: Path, name: str) -> torch.Tensor | None:
    stem, _, last = name.rpartition(".")
    for folder in (converted / "zero" / name, converted / "zero" / f"{stem}.default.{last}"):
        if (folder / "fp32.pt").is_file():
            found: Any = torch.load(folder / "fp32.pt", map_location="cpu", weights_only=False)
            tensor: torch.Tensor = found["param"] if isinstance(found, dict) else found
            return tensor
    return None


def _shapes(states: Path) -> list[dict[str, int]]:
    path = next(states.glob("*model_states.pt"))
    groups = torch.load(path, map_location="cpu", weights_only=False)["param_shapes"]
    return [{name: prod(shape) for name, shape in group.items()} for group in groups]
