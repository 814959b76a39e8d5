"""Which checkpoints of a run can be resumed from: complete ones only, told from their files, without torch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

from tunekit.launcher.checkpoint_files import file_fault, size_fault
from tunekit.launcher.json_lines import read_record

SENTINEL = "checkpoint-is-incomplete.txt"
"""transformers leaves this in a checkpoint whose save was cut short."""
SEAL = "complete.json"
"""The worker writes this last into a checkpoint, when every rank has written its part: step, ranks, files."""
CHECKSUMS = "checksums"
"""In the seal: CRC-32 by name of the files that hold none of their own."""
DOUBT = "doubtful.json"
"""The worker writes this, with the `reason`, into checkpoints that it saved when the loss had gone wrong already."""
SWAPPED = "offloaded_tensors"
"""DeepSpeed copies the swap files of NVMe offload into this folder, one for each rank."""

Spread = Literal["whole", "optimizer", "all"]
"""What is cut into a part per rank: nothing (ZeRO 0), the optimizer's states (1 and 2), the weights too (3)."""
SPREADS: dict[int, Spread] = {0: "whole", 1: "optimizer", 2: "optimizer", 3: "all"}


@dataclass(frozen=True, kw_only=True)
class Checkpoint:
    """One `checkpoint-STEP` folder; `fault` says what is missing, or is None when it is complete."""

    path: Path
    step: int
    fault: str | None
    world_size: int = 0
    """Ranks that wrote it; 0 where it does not say."""
    stepping: Mapping[str, Any] = field(default_factory=dict)
    """How its optimizer stored its states: see `tunekit.launcher.resuming.stepping`; empty where it does not say."""

    @property
    def complete(self) -> bool:
        """Whether a run can go on from it."""
        return self.fault is None

    @cached_property
    def spread(self) -> Spread:
        """How its states are cut into files."""
        states = states_folder(self.path)
        if list(states.glob("*zero_pp_rank_*_model_states.pt")):
            return "all"
        return "optimizer" if list(states.glob("*_optim_states.pt")) else "whole"

    @property
    def swapped(self) -> bool:
        """Whether its optimizer states are copies of swap files."""
        return (states_folder(self.path) / SWAPPED).is_dir()


def list_checkpoints(folder: Path) -> tuple[Checkpoint, ...]:
    """Every checkpoint below `folder`, newest step first, each one verified."""
    found = [path for path in folder.glob("checkpoint-*") if path.is_dir() and _step(path) is not None]
    return tuple(sorted(map(_look, found), key=lambda checkpoint: checkpoint.step, reverse=True))


def newest_complete(folder: Path) -> Checkpoint | None:
    """The checkpoint to resume from."""
    return next((found for found in list_checkpoints(folder) if found.complete), None)


def passed_over(folder: Path, chosen: Checkpoint) -> tuple[Checkpoint, ...]:
    """The newer checkpoints that cannot be used, each with its fault."""
    return tuple(found for found in list_checkpoints(folder) if found.step > chosen.step)


def bytes_below(folder: Path) -> int:
    """Bytes of all files in a folder; 0 where there is none. One that goes meanwhile does not count."""
    return sum(map(_bytes, folder.rglob("*")))


def states_folder(checkpoint: Path) -> Path:
    """Where DeepSpeed's files lie: the folder that `latest` names; one that is not there when it names none."""
    latest = checkpoint / "latest"
    tag = latest.read_text(errors="replace").strip() if latest.is_file() else ""
    return checkpoint / tag if tag else checkpoint / "latest is missing"


def find_fault(checkpoint: Path) -> str | None:
    """The first thing that keeps a run from going on from this checkpoint, or None.

    Every rank's files must be there, as many as `complete.json` says have written, each with the size it was sealed
    with, its table of contents readable, and no tensor in it empty.
    """
    if (checkpoint / SENTINEL).exists():
        return f"{SENTINEL} is there: the save was cut short"
    if (doubt := read_record(checkpoint / DOUBT)) is not None:
        return str(doubt.get("reason", DOUBT))
    for name in ("trainer_state.json", SEAL):
        if read_record(checkpoint / name) is None:
            return f"{name} is missing or cut off: the save was cut short"
    seal = read_record(checkpoint / SEAL) or {}
    ranks = _world_size(seal)
    if not ranks:
        return f"{SEAL} does not say how many ranks wrote it"
    files = seal.get("files")
    sized = size_fault(checkpoint, files) if isinstance(files, dict) else None
    return sized or _engine_fault(checkpoint, ranks) or _rng_fault(checkpoint, ranks) or _file_faults(checkpoint)


def _look(path: Path) -> Checkpoint:
    try:
        fault = find_fault(path)
    except OSError as error:
        fault = f"{path.name} cannot be read ({error.strerror})"
    seal = read_record(path / SEAL) or {}
    stepping = seal.get("stepping")
    return Checkpoint(
        path=path,
        step=_step(path) or 0,
        fault=fault,
        world_size=_world_size(seal),
        stepping=stepping if isinstance(stepping, dict) else {},
    )


def _engine_fault(checkpoint: Path, ranks: int) -> str | None:
    states = states_folder(checkpoint)
    if not states.is_dir():
        return f"`latest` names {states.name if (checkpoint / 'latest').is_file() else 'nothing'}, which is not there"
    shards = len(list(states.glob("*_optim_states.pt")))
    if shards not in (ranks, 0):
        return f"{shards} optimizer files in {states.name} for {ranks} processes"
    models = len(list(states.glob("*model_states.pt")))
    sharded = len(list(states.glob("*zero_pp_rank_*_model_states.pt")))
    if not models:
        return f"no model states in {states.name}"
    if sharded and sharded != ranks:
        return f"{sharded} files of model states in {states.name} for {ranks} processes"
    swapped = states / SWAPPED
    if swapped.is_dir() and len(list(swapped.iterdir())) != ranks:
        return f"swap files of {len(list(swapped.iterdir()))} ranks in {states.name}/{SWAPPED} for {ranks} processes"
    return None


def _rng_fault(checkpoint: Path, ranks: int) -> str | None:
    names = ["rng_state.pth"] if ranks == 1 else [f"rng_state_{rank}.pth" for rank in range(ranks)]
    missing = [name for name in names if not (checkpoint / name).is_file()]
    return f"{missing[0]} is missing" if missing else None


def _file_faults(checkpoint: Path) -> str | None:
    for path in sorted(checkpoint.rglob("*")):
        fault = file_fault(path) if path.is_file() else None
        if fault is not None:
            return f"{path.relative_to(checkpoint)} {fault}"
    return None


def _bytes(path: Path) -> int:
    try:
        return path.stat().st_size if path.is_file() else 0
    except OSError:
        return 0


def _world_size(seal: dict[str, Any]) -> int:
    ranks = seal.get("world_size")
    return ranks if isinstance(ranks, int) and ranks > 0 else 0


def _step(path: Path) -> int | None:
    number = path.name.removeprefix("checkpoint-")
    return int(number) if number.isdigit() else None
