"""The recipe's model on this disk, and whether the hub would give what is not here."""

from __future__ import annotations

from pathlib import Path

from tunekit import hub
from tunekit.doctor.readings import ModelFiles
from tunekit.errors import TunekitError
from tunekit.recipe.schema import ModelSection

SAFE = ".safetensors"


def read_model_files(model: ModelSection, *, ask_hub: bool) -> ModelFiles:
    """A whole folder, a .gguf, or why it cannot be had; with `ask_hub` the network is asked, for a few seconds."""
    folder = hub.local_model_dir(model.path, model.revision)
    if folder is not None:
        weights = tuple(folder.glob(f"*{SAFE}"))
        chosen = weights or tuple(folder.glob("*.bin"))
        size = sum(path.stat().st_size for path in chosen)
        return ModelFiles(folder=str(folder), weight_bytes=size, pickle=not weights)
    gguf = hub.gguf_source(model.path)
    if gguf is not None:
        return ModelFiles(gguf=gguf.name)
    return ModelFiles(fault=_fault(model, ask_hub=ask_hub))


def _fault(model: ModelSection, *, ask_hub: bool) -> str:
    """What is wrong with a local folder, or what the hub answers."""
    here = Path(model.path).expanduser()
    try:
        if here.exists():
            hub.fetch_model(model.path, model.revision)
        elif ask_hub:
            hub.check_access(model.path, model.revision)
    except TunekitError as error:
        return str(error)
    return ""
