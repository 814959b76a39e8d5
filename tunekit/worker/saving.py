"""Writing what was trained: gathered once, by rank 0, without a copy of the frozen base."""

from __future__ import annotations

import re
import shutil
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
import torch.distributed as dist

from tunekit.memory.host import SAVE_FILE_BYTES
from tunekit.worker.journal import write_json
from tunekit.worker.world import World

if TYPE_CHECKING:
    from tunekit.worker.trainer import WorkerTrainer

COMPLETE = "complete.json"
"""Written last into a checkpoint: without it the save was cut short."""


def save_model_files(trainer: WorkerTrainer, folder: str | Path, world: World) -> None:
    """Write the adapter or the whole model, with its tokenizer, into `folder`. Every rank must call it.

    transformers' own save clones the complete state, frozen base included, to RAM on every rank under ZeRO 0-2.
    """
    model = trainer.model
    if trainer.plan.job.adapter is not None:
        state = adapter_state(model, world)
    else:
        state = full_state(trainer, world)
    if world.is_first:
        extra = {"save_embedding_layers": False} if trainer.plan.job.adapter is not None else _small_files()
        model.save_pretrained(str(folder), state_dict=state, **extra)
        trainer.processing_class.save_pretrained(str(folder))
    dist.barrier()


def _small_files() -> dict[str, Any]:
    # transformers would copy up to 50 GB of a card's weights to RAM at once, as one file.
    return {"max_shard_size": SAVE_FILE_BYTES}


def adapter_state(model: torch.nn.Module, world: World) -> dict[str, torch.Tensor] | None:
    """What was trained, in RAM of rank 0; None on the others. ZeRO-3 gathers only these parameters."""
    trained = {name: parameter for name, parameter in model.named_parameters() if parameter.requires_grad}
    with gathered(list(trained.values())):
        if not world.is_first:
            return None
        return {name: parameter.detach().cpu().clone() for name, parameter in trained.items()}


def full_state(trainer: WorkerTrainer, world: World) -> dict[str, torch.Tensor] | None:
    """The whole model's state on rank 0: gathered layer by layer under ZeRO-3, else None, the model has it itself."""
    if trainer.plan.job.zero.stage < 3:
        return None
    state: dict[str, torch.Tensor] | None = trainer.deepspeed._zero3_consolidated_16bit_state_dict()
    return state if world.is_first else None


def gathered(parameters: list[torch.nn.Parameter]) -> Any:
    """A context in which these parameters are whole on every rank; nothing to do where they are whole anyway."""
    partitioned = [parameter for parameter in parameters if hasattr(parameter, "ds_id")]
    if not partitioned:
        return nullcontext()
    import deepspeed

    return deepspeed.zero.GatheredParameters(partitioned)


def checkpoint_folder(checkpoints: str | Path, step: int) -> Path:
    """The folder of the checkpoint after `step` optimizer steps."""
    return Path(checkpoints) / f"checkpoint-{step}"


def seal_checkpoint(folder: Path, world: World, *, keep: int) -> None:
    """Mark `folder` complete when every rank has written its part, then remove all but the `keep` newest."""
    dist.barrier()
    if world.is_first:
        write_json(folder / COMPLETE, {"step": step_of(folder), "world_size": world.size})
        for old in sealed_checkpoints(folder.parent)[:-keep]:
            shutil.rmtree(old)
    dist.barrier()


def sealed_checkpoints(folder: Path) -> list[Path]:
    """The complete checkpoints below `folder`, oldest step first."""
    return sorted((marker.parent for marker in folder.glob(f"checkpoint-*/{COMPLETE}")), key=step_of)


def step_of(folder: Path) -> int:
    """The step in a checkpoint folder's name."""
    return int(re.sub(r"\D", "", folder.name) or 0)
