"""Checkpoints whose weights leave the card one by one."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

import torch

PLAIN_WRITER = "TorchCheckpointEngine"
"""DeepSpeed's name of the writer that calls `torch.save`."""


def part_checkpoints(engine: Any) -> None:
    """Let `engine` hand the module's weights to `torch.save` with a storage each, before it writes a checkpoint.

    Below stage 3 they are views of one flat buffer per parameter group. `torch.save` copies a card's storages to RAM
    one after the other, whole (torch 2.13 `serialization.py`, `_save`): all weights at once where they share one.
    Another writer, which a JSON of the user's own may ask for, is left as it is.
    """
    writer = engine.checkpoint_engine
    if writer.name != PLAIN_WRITER:
        return
    save = writer.save

    def save_apart(state_dict: Mapping[str, Any], path: str) -> Any:
        module = state_dict.get("module")
        return save(state_dict if module is None else {**state_dict, "module": apart(module)}, path)

    writer.save = save_apart


def apart(module: Mapping[str, Any]) -> Mapping[str, Any]:
    """The same state, each tensor with a storage of its own; nothing is copied. What was tied stays one tensor."""
    parted: Any = copy.copy(module)  # keeps the versions that torch hangs on a state
    seen: dict[tuple[Any, ...], torch.Tensor] = {}
    for name, value in module.items():
        if is_a_part(value):
            key = (value.data_ptr(), value.dtype, value.shape)
            parted[name] = seen.setdefault(key, torch.from_dlpack(value.detach()))
    return parted


def is_a_part(value: Any) -> bool:
    """Whether it is a tensor that lies in a larger storage."""
    if not torch.is_tensor(value) or not value.numel() or not value.is_contiguous():
        return False
    return value.untyped_storage().nbytes() > value.numel() * value.element_size()
