"""Writing what was trained: by rank 0, file by file, without a copy of the frozen base or of the whole model."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
import torch.distributed as dist
from safetensors import safe_open
from transformers.utils import SAFE_WEIGHTS_INDEX_NAME, SAFE_WEIGHTS_NAME

from tunekit.launcher.checkpoint_bytes import checksums
from tunekit.launcher.checkpoints import CHECKSUMS
from tunekit.memory.saving import SAVE_FILE_BYTES
from tunekit.worker.journal import write_json
from tunekit.worker.measuring import whole_bytes
from tunekit.worker.world import World

if TYPE_CHECKING:
    from tunekit.worker.trainer import WorkerTrainer

COMPLETE = "complete.json"
"""Written last into a checkpoint: without it the save was cut short."""


def save_model_files(
    trainer: WorkerTrainer, folder: str | Path, world: World, *, file_bytes: int = SAVE_FILE_BYTES
) -> None:
    """Write the adapter or the whole model, with its tokenizer, into `folder`. Every rank must call it.

    transformers' own save clones the complete state, frozen base included, to RAM on every rank under ZeRO 0-2, and
    DeepSpeed's gathers a sharded model whole on rank 0. Here no more than `file_bytes` of a model are in RAM at once.
    """
    model = trainer.model
    if trainer.plan.job.adapter is not None:
        with at_rest(trainer):
            state = adapter_state(model, world)
        if world.is_first:
            model.save_pretrained(str(folder), state_dict=state, save_embedding_layers=False)
    elif trainer.plan.job.zero.stage == 3:
        save_sharded(trainer, Path(folder), world, file_bytes)
    elif world.is_first:
        # transformers would copy up to 50 GB of a card's weights to RAM at once, as one file.
        model.save_pretrained(str(folder), max_shard_size=file_bytes)
    if world.is_first:
        trainer.processing_class.save_pretrained(str(folder))
    dist.barrier()


def save_sharded(trainer: WorkerTrainer, folder: Path, world: World, file_bytes: int) -> None:
    """Write a model of which every rank holds a part: gathered tensor by tensor, written by rank 0 file by file."""
    model = trainer.model
    parts = files_of(stored_tensors(model), file_bytes)
    with at_rest(trainer):
        for number, names in enumerate(parts, start=1):
            state = whole_tensors(model, names, world)
            if world.is_first:
                write_part(model, state, folder, f"model-{number:05d}-of-{len(parts):05d}.safetensors")
    if world.is_first:
        write_index(folder, len(parts))


@contextmanager
def at_rest(trainer: WorkerTrainer) -> Iterator[None]:
    """Every parameter of ZeRO-3 partitioned, and none on its way, as for DeepSpeed's own checkpoints.

    The small ones that it keeps whole are whole again afterwards. An evaluation leaves some on their way: gathered for
    a backward that does not come, they would be refused ("Cannot partition a param in flight").
    """
    if trainer.plan.job.zero.stage != 3:
        yield
        return
    optimizer = trainer.deepspeed.optimizer
    optimizer.checkpoint_event_prologue()
    yield
    optimizer.checkpoint_event_epilogue()


def stored_tensors(model: torch.nn.Module) -> dict[str, int]:
    """Name and bytes of every tensor that belongs into the files, in the model's order; a tied one once."""
    names: dict[int, str] = {}
    for name in model.state_dict():
        names.setdefault(id(tensor_of(model, name)), name)
    return {name: whole_bytes(tensor_of(model, name)) for name in names.values()}


def tensor_of(model: torch.nn.Module, name: str) -> torch.Tensor:
    """The parameter or buffer of this name."""
    owner, _, leaf = name.rpartition(".")
    found: torch.Tensor = getattr(model.get_submodule(owner), leaf)
    return found


def files_of(sizes: Mapping[str, int], file_bytes: int) -> list[list[str]]:
    """The names in order, cut into files of at most `file_bytes`; a larger tensor has a file of its own."""
    files: list[list[str]] = []
    room = 0
    for name, size in sizes.items():
        if size > room:
            files.append([])
            room = file_bytes
        files[-1].append(name)
        room -= size
    return files


def whole_tensors(model: torch.nn.Module, names: list[str], world: World) -> dict[str, torch.Tensor]:
    """These tensors in RAM of rank 0; nothing on the others, which take part in gathering them."""
    state = {}
    for name in names:
        tensor = tensor_of(model, name)
        with gathered([tensor]):
            if world.is_first:
                state[name] = tensor.detach().to("cpu", copy=True)
    return state


def write_part(model: Any, state: dict[str, torch.Tensor], folder: Path, name: str) -> None:
    """One file of a model, by transformers, which knows the names and the settings that belong to it.

    Each file is written into a folder of its own: in the model's own, transformers removes the files of earlier calls.
    """
    part = folder / ".part"
    shutil.rmtree(part, ignore_errors=True)
    model.save_pretrained(str(part), state_dict=state, max_shard_size=sum(map(whole_bytes, state.values())) + 1)
    (part / SAFE_WEIGHTS_NAME).rename(part / name)
    for path in part.iterdir():
        path.replace(folder / path.name)
    part.rmdir()


def write_index(folder: Path, count: int) -> None:
    """Say which tensor is in which of the `count` files; a single file needs no index, and its plain name."""
    paths = sorted(folder.glob(f"model-*-of-{count:05d}.safetensors"))
    if count == 1:
        paths[0].rename(folder / SAFE_WEIGHTS_NAME)
        return
    weights: dict[str, str] = {}
    for path in paths:
        with safe_open(path, framework="pt") as file:
            weights |= dict.fromkeys(file.keys(), path.name)
    size = sum(path.stat().st_size for path in paths)
    write_json(folder / SAFE_WEIGHTS_INDEX_NAME, {"metadata": {"total_size": size}, "weight_map": weights})


def adapter_state(model: torch.nn.Module, world: World) -> dict[str, torch.Tensor] | None:
    """What was trained, in RAM of rank 0; None on the others. ZeRO-3 gathers only these parameters."""
    trained = {name: parameter for name, parameter in model.named_parameters() if parameter.requires_grad}
    with gathered(list(trained.values())):
        if not world.is_first:
            return None
        return {name: parameter.detach().cpu().clone() for name, parameter in trained.items()}


def gathered(parameters: Sequence[torch.Tensor]) -> Any:
    """A context in which these parameters are whole on every rank; nothing to do where they are whole anyway."""
    partitioned = [parameter for parameter in parameters if hasattr(parameter, "ds_id")]
    if not partitioned:
        return nullcontext()
    import deepspeed

    return deepspeed.zero.GatheredParameters(partitioned)


def checkpoint_folder(checkpoints: str | Path, step: int) -> Path:
    """The folder of the checkpoint after `step` optimizer steps."""
    return Path(checkpoints) / f"checkpoint-{step}"


def seal_checkpoint(folder: Path, world: World, *, stepping: Mapping[str, Any]) -> None:
    """Mark `folder` complete when every rank has written its part.

    The mark holds how the optimizer stores its states, the size of every file and what tells whether its bytes are the
    same. It is written when all of them are on the disk: a power cut leaves no checkpoint that only seems complete.
    Torn ones of earlier steps go too: an attempt was ended while it saved, and this one has passed it.
    """
    dist.barrier()
    if world.is_first:
        told: dict[str, Any] = {"step": step_of(folder), "world_size": world.size}
        told |= {"stepping": dict(stepping), "files": to_disk(folder), CHECKSUMS: checksums(folder)}
        write_json(folder / COMPLETE, told)
        drop_torn(folder.parent, before=step_of(folder))
    dist.barrier()


def to_disk(folder: Path) -> dict[str, int]:
    """Let the drive write what it still holds back of the files below `folder`; their sizes by name."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    for path in files:
        with path.open("rb") as file:
            os.fsync(file.fileno())
    return {str(path.relative_to(folder)): path.stat().st_size for path in files}


def make_place(folder: Path, world: World) -> None:
    """An empty place for a checkpoint. Every rank must call it.

    One of the same step that was passed over would leave its doubts in the new one, its mark amid the save, and files
    of ranks that are no more.
    """
    if world.is_first and folder.exists():
        unseal(folder)
    dist.barrier()


def unseal(folder: Path) -> None:
    """Remove a checkpoint, its mark first: one that is half removed is never taken for complete."""
    (folder / COMPLETE).unlink(missing_ok=True)
    shutil.rmtree(folder)


def drop_torn(folder: Path, *, before: int) -> None:
    """Remove the checkpoints below `folder` whose save was cut short, of steps less than `before`; rank 0 alone."""
    for path in folder.glob("checkpoint-*"):
        ours = path.is_dir() and not path.is_symlink() and path.name == f"checkpoint-{step_of(path)}"
        if ours and not is_sealed(path) and step_of(path) < before:
            shutil.rmtree(path)


def is_sealed(folder: Path) -> bool:
    """Whether the checkpoint in `folder` is complete."""
    return (folder / COMPLETE).exists()


def sealed_checkpoints(folder: Path) -> list[Path]:
    """The complete checkpoints below `folder`, oldest step first."""
    return sorted((marker.parent for marker in folder.glob(f"checkpoint-*/{COMPLETE}")), key=step_of)


def step_of(folder: Path) -> int:
    """The step in a checkpoint folder's name."""
    return int(re.sub(r"\D", "", folder.name) or 0)
