"""Which checkpoints of a run can be resumed from: complete ones only, told from their files, without torch."""

from __future__ import annotations

import json
import struct
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tunekit.launcher.json_lines import read_record

SENTINEL = "checkpoint-is-incomplete.txt"
"""transformers leaves this in a checkpoint whose save was cut short."""
SEAL = "complete.json"
"""The worker writes this last into a checkpoint, when every rank has written its part."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Checkpoint:
    """One `checkpoint-STEP` folder; `fault` says what is missing, or is None when it is complete."""

    path: Path
    step: int
    fault: str | None

    @property
    def complete(self) -> bool:
        """Whether a run can go on from it."""
        return self.fault is None


def list_checkpoints(folder: Path, *, world_size: int) -> tuple[Checkpoint, ...]:
    """Every checkpoint below `folder`, newest step first, each one verified."""
    found = [path for path in folder.glob("checkpoint-*") if path.is_dir() and _step(path) is not None]
    checkpoints = (
        Checkpoint(path=path, step=_step(path) or 0, fault=find_fault(path, world_size=world_size)) for path in found
    )
    return tuple(sorted(checkpoints, key=lambda checkpoint: checkpoint.step, reverse=True))


def newest_complete(folder: Path, *, world_size: int) -> Checkpoint | None:
    """The checkpoint to resume from."""
    return next((found for found in list_checkpoints(folder, world_size=world_size) if found.complete), None)


def find_fault(checkpoint: Path, *, world_size: int) -> str | None:
    """The first thing that keeps this checkpoint from being resumed by `world_size` processes, or None."""
    if (checkpoint / SENTINEL).exists():
        return f"{SENTINEL} is there: the save was cut short"
    for name in ("trainer_state.json", SEAL):
        if read_record(checkpoint / name) is None:
            return f"{name} is missing or cut off: the save was cut short"
    return _engine_fault(checkpoint, world_size) or _rng_fault(checkpoint, world_size) or _torn_file(checkpoint)


def _engine_fault(checkpoint: Path, world_size: int) -> str | None:
    latest = checkpoint / "latest"
    tag = latest.read_text().strip() if latest.is_file() else ""
    states = checkpoint / tag
    if not tag or not states.is_dir():
        return f"`latest` names {tag or 'nothing'}, which is not there"
    shards = len(list(states.glob("*_optim_states.pt")))
    if shards not in (world_size, 0):
        return f"{shards} optimizer files in {tag} for {world_size} processes"
    if not list(states.glob("*model_states.pt")):
        return f"no model states in {tag}"
    return None


def _rng_fault(checkpoint: Path, world_size: int) -> str | None:
    if world_size == 1:
        return None
    missing = [rank for rank in range(world_size) if not (checkpoint / f"rng_state_{rank}.pth").is_file()]
    return f"rng_state_{missing[0]}.pth is missing" if missing else None


def _torn_file(checkpoint: Path) -> str | None:
    for path in sorted(checkpoint.rglob("*")):
        if path.suffix in (".pt", ".pth") and not zipfile.is_zipfile(path):
            return f"{path.relative_to(checkpoint)} is cut off"
        if path.suffix == ".safetensors" and not safetensors_is_whole(path):
            return f"{path.relative_to(checkpoint)} is cut off"
    return None


def safetensors_is_whole(path: Path) -> bool:
    """Whether the file is as long as its header says (8 bytes of length, JSON with the offsets, the tensors)."""
    size = path.stat().st_size
    with path.open("rb") as file:
        prefix = file.read(8)
        if len(prefix) < 8:
            return False
        length = struct.unpack("<Q", prefix)[0]
        if length > size:
            return False
        header = _parsed(file.read(length))
    if not isinstance(header, dict):
        return False
    ends = [entry["data_offsets"][1] for name, entry in header.items() if name != "__metadata__"]
    return bool(size == 8 + length + max(ends, default=0))


def _step(path: Path) -> int | None:
    number = path.name.removeprefix("checkpoint-")
    return int(number) if number.isdigit() else None


def _parsed(text: bytes) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return None
