"""What must be so after every fault: nothing runs, nothing half counts as whole, the end is the undisturbed one's."""

from __future__ import annotations

import json
import re
import time
import zipfile
from collections.abc import Iterator
from pathlib import Path

from safetensors import SafetensorError, safe_open

from tests.faults.place import STEPS, Place, endings, losses
from tests.faults.scene import Command, Scene, marked_processes
from tunekit.launcher.checkpoints import Checkpoint, newest_complete
from tunekit.launcher.run_dir import RunDir

TOLERANCE = 1e-6
SETTLE_SECONDS = 1.0
"""A process that was killed is gone a moment later."""


def left_over(scene: Scene) -> Iterator[str]:
    """Processes and shared memory of a run whose command has ended."""
    deadline = time.monotonic() + SETTLE_SECONDS
    while (alive := list(marked_processes(scene.run.path))) and time.monotonic() < deadline:
        time.sleep(0.05)
    if alive:
        yield f"{len(alive)} process(es) left: {', '.join(' '.join(process.cmdline()[:4]) for process in alive)}"
    if files := scene.shared_memory():
        yield f"/dev/shm keeps {', '.join(path.name for path in files)}"


def torn(run: RunDir, place: Place) -> Iterator[str]:
    """What is wrong with the checkpoint that `resume` would choose, and with a result that is marked as done."""
    newest = chosen(run)
    if newest is not None:
        whole = place.reference.checkpoints / f"checkpoint-{STEPS}"
        if names_in(newest.path) != names_in(whole):
            yield f"{newest.path.name} is taken for whole: {names_in(newest.path) ^ names_in(whole)}"
        yield from broken_files(newest.path)
    if run.success.exists():
        yield from broken_files(run.final)


def chosen(run: RunDir) -> Checkpoint | None:
    """The checkpoint that `resume` goes on from."""
    return newest_complete(run.checkpoints)


def names_in(checkpoint: Path) -> set[str]:
    """Every file below, its own step's number left out."""
    names = (str(path.relative_to(checkpoint)) for path in checkpoint.rglob("*") if path.is_file())
    return {re.sub(r"global_step\d+", "global_step", name) for name in names}


def broken_files(folder: Path) -> Iterator[str]:
    """Files below `folder` that cannot be read to their end."""
    for path in sorted(folder.rglob("*")):
        if path.is_file() and not is_readable(path):
            yield f"{path.relative_to(folder.parent)} is broken"


def is_readable(path: Path) -> bool:
    """Whether a file is what its name says; others are taken as they are."""
    try:
        match path.suffix:
            case ".pt" | ".pth" | ".bin":
                with zipfile.ZipFile(path) as archive:
                    return archive.testzip() is None
            case ".json":
                json.loads(path.read_text())
            case ".safetensors":
                with safe_open(path, framework="np") as file:
                    return all(0 not in file.get_slice(name).get_shape() for name in file.keys())  # noqa: SIM118
    except (ValueError, zipfile.BadZipFile, SafetensorError):
        return False
    return True


def other_end(run: RunDir, place: Place) -> Iterator[str]:
    """Where a run that should be done ended otherwise than the undisturbed one."""
    if not run.success.exists():
        yield "there is no success.json"
        return
    mine, wanted = losses(run), losses(place.reference)
    if mine.keys() != wanted.keys():
        yield f"steps {sorted(mine)} were logged"
    both = sorted(mine.keys() & wanted.keys())
    yield from (f"step {step}: loss {mine[step]}, not {wanted[step]}" for step in both if far(mine[step], wanted[step]))
    for name, value, other in zip(("loss", "evaluation"), endings(run), endings(place.reference), strict=True):
        if far(value, other):
            yield f"{name} at the end {value}, not {other}"
    weights = [(folder.final / "adapter_model.safetensors").read_bytes() for folder in (run, place.reference)]
    if weights[0] != weights[1]:
        yield "the weights in final/ differ"
    yield from (f"{path.relative_to(run.path)} is left" for path in scraps(run))


def far(value: float, other: float) -> bool:
    """Whether two losses differ by more than rounding."""
    return not abs(value - other) <= TOLERANCE * abs(other)


def scraps(run: RunDir) -> list[Path]:
    """Files and folders that were only written to be renamed."""
    found = (path for path in run.path.rglob("*") if path.name.startswith(".") or path.suffix in (".tmp", ".part"))
    return sorted(found)


def was_started(scene: Scene) -> Iterator[str]:
    """Of a start that was to be refused: whether anything began."""
    if scene.run.launcher_log.exists():
        yield "deepspeed was started"


def last_message(command: Command, place: Place) -> str:
    """The line that tells the user what happened: the first of an error, else the last one."""
    errors = command.errors.read_text(errors="replace").strip().splitlines()
    output = command.output.read_text(errors="replace").strip().splitlines()
    line = errors[0] if errors else (output or ["(nothing)"])[-1]
    return line.replace(f"{place.folder}/", "").replace(str(place.folder), "the folder").strip()
