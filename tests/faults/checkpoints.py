"""Checkpoints that are broken in every way: the one before is taken, and where there is none, nothing is started."""

from __future__ import annotations

import json
import shutil
import struct
from collections.abc import Callable
from pathlib import Path
from signal import SIGKILL

from tests.faults.fault import Fault
from tests.faults.scene import Command, Scene

Damage = Callable[[Path], object]
OPTIMIZER, MODEL, ADAPTER = (
    "global_step*/*rank_1*optim_states.pt",
    "global_step*/*model_states.pt",
    "adapter_model.safetensors",
)


def killed_run(scene: Scene) -> Path:
    """Copy a run that was killed at step 5 to this scene's place; it is made once. Its checkpoints are of 2 and 4."""
    made = scene.place.folder / "runs" / "killed"
    if not (made / "checkpoints" / "checkpoint-4").exists():
        other = Scene(place=scene.place, name="killed")
        gate = other.gate_at("step")
        command = other.launch(gate=gate)
        other.arrive(gate, command)
        other.send(SIGKILL, "all")
        command.wait()
        other.close()
    shutil.copytree(made, scene.run.path)
    return scene.run.checkpoints


def falls_back(damage: Damage) -> Callable[[Scene], Command]:
    """The newest checkpoint is broken: `resume` goes on from the one before."""

    def play(scene: Scene) -> Command:
        damage(killed_run(scene) / "checkpoint-4")
        return scene.tunekit("resume", str(scene.run.path))

    return play


def nothing_left(damage: Damage) -> Callable[[Scene], Command]:
    """The only checkpoint is broken: `resume` says so and starts nothing."""

    def play(scene: Scene) -> Command:
        folder = killed_run(scene)
        shutil.rmtree(folder / "checkpoint-2")
        damage(folder / "checkpoint-4")
        shutil.rmtree(scene.run.logs)
        return scene.tunekit("resume", str(scene.run.path))

    return play


def cut(pattern: str, share: float) -> Damage:
    """Keep only the first part of a file."""

    def damage(checkpoint: Path) -> None:
        path = one(checkpoint, pattern)
        with path.open("r+b") as file:
            file.truncate(int(path.stat().st_size * share))

    return damage


def flip(pattern: str) -> Damage:
    """Change one byte in the middle, as a bad drive does."""

    def damage(checkpoint: Path) -> None:
        path = one(checkpoint, pattern)
        with path.open("r+b") as file:
            file.seek(path.stat().st_size // 2)
            byte = file.read(1)
            file.seek(-1, 1)
            file.write(bytes([byte[0] ^ 0xFF]))

    return damage


def remove(pattern: str) -> Damage:
    """The file is not there."""
    return lambda checkpoint: one(checkpoint, pattern).unlink()


def write(name: str, text: str) -> Damage:
    """The file holds something else."""
    return lambda checkpoint: (checkpoint / name).write_text(text)


def empty_tensors(checkpoint: Path) -> None:
    """Every tensor of the adapter has no elements, as ZeRO-3's placeholders."""
    path = checkpoint / ADAPTER
    with path.open("rb") as file:
        names = json.loads(file.read(struct.unpack("<Q", file.read(8))[0]))
    entries = {name: {"dtype": "F32", "shape": [0], "data_offsets": [0, 0]} for name in names if name != "__metadata__"}
    header = json.dumps(entries).encode()
    path.write_bytes(struct.pack("<Q", len(header)) + header)


def one(checkpoint: Path, pattern: str) -> Path:
    """The first file of this pattern."""
    return sorted(checkpoint.glob(pattern))[0]


DAMAGES: dict[str, Damage] = {
    "an optimizer file cut in half": cut(OPTIMIZER, 0.5),
    "an optimizer file that lacks its last byte": cut(OPTIMIZER, 0.99999),
    "a model file of zero bytes": cut(MODEL, 0),
    "rank 1's optimizer file missing": remove(OPTIMIZER),
    "the model file missing": remove(MODEL),
    "trainer_state.json missing": remove("trainer_state.json"),
    "trainer_state.json that is no JSON": write("trainer_state.json", '{"global_step": 4, '),
    "trainer_state.json of another step": write("trainer_state.json", '{"global_step": 3}'),
    "complete.json missing": remove("complete.json"),
    "complete.json that is empty": write("complete.json", ""),
    "an adapter of zero-sized tensors": empty_tensors,
    "an adapter file cut in half": cut(ADAPTER, 0.5),
    "the adapter file missing": remove(ADAPTER),
    "rank 1's random state missing": remove("rng_state_1.pth"),
    "`latest` naming another folder": write("latest", "global_step9"),
    "`latest` missing": remove("latest"),
    "one byte changed in an optimizer file": flip(OPTIMIZER),
    "one byte changed in the model file": flip(MODEL),
    "transformers' mark of a torn save": write("checkpoint-is-incomplete.txt", ""),
}
FALLS_BACK = (
    "an optimizer file cut in half",
    "a model file of zero bytes",
    "trainer_state.json that is no JSON",
    "an adapter of zero-sized tensors",
    "one byte changed in an optimizer file",
)

FAULTS: tuple[Fault, ...] = (
    *(
        Fault(
            name=f"the newest checkpoint has {kind}",
            group="checkpoints",
            play=falls_back(DAMAGES[kind]),
            codes=(0,),
            says="checkpoint-2|step 2",
            after="is done",
        )
        for kind in FALLS_BACK
    ),
    *(
        Fault(
            name=f"the only checkpoint has {kind}",
            group="checkpoints",
            play=nothing_left(damage),
            codes=(2,),
            says="no complete checkpoint.*checkpoint-4: ",
            after="was refused",
        )
        for kind, damage in DAMAGES.items()
    ),
)
