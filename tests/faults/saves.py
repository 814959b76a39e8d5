"""A kill in front of a write of a save: whatever lies there then, the run goes on from what is whole."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from contextlib import chdir
from signal import SIGCONT, SIGKILL, SIGSTOP

from tests.faults.fault import Fault
from tests.faults.judging import chosen, other_end, torn
from tests.faults.place import Place
from tests.faults.scene import Command, Gate, Scene
from tests.integration import tiny
from tunekit.launcher.run_dir import RunDir

BOUNDARIES = 199
INTERRUPTED = r"lost|failed|interrupted|died|killed"


def at(pattern: str, *, rank: int = 0, number: int = 1) -> Callable[[Scene], Command]:
    """Kill everything in front of this write, and ask for the state."""

    def play(scene: Scene) -> Command:
        gate = scene.gate(pattern, number, rank=rank)
        command = scene.launch(gate=gate)
        scene.arrive(gate, command)
        scene.send(SIGKILL, "all")
        command.wait()
        return scene.tunekit("status", str(scene.run.path))

    return play


def every_boundary(scene: Scene) -> Command:
    """Stop rank 0 in front of each change of the save at step 4, and copy the run: so a kill there would leave it.

    What is torn must not be chosen, and every copy whose files differ goes on to the end, all in one launch.
    """
    gate = scene.gate("*checkpoint-4*", 1, last=BOUNDARIES)
    command = scene.launch(gate=gate)
    copies: dict[RunDir, str] = {}
    for number in arrivals(scene, gate, command):
        copy = RunDir(scene.folder / "boundaries" / f"{number:03d}")
        with_everything_still(scene, lambda copy=copy: shutil.copytree(scene.run.path, copy.path))  # type: ignore[misc]
        copies[copy] = (gate.reached(number) or "").replace(f"{scene.run.path}/", "")
        gate.let_pass(number)
    scene.problems += list(going_on_from_each(copies, scene))
    return command


def arrivals(scene: Scene, gate: Gate, command: Command) -> Iterator[int]:
    """The numbers of the changes, as rank 0 comes to them."""
    for number in range(1, BOUNDARIES + 1):
        scene.until(
            lambda number=number: gate.reached(number) is not None or scene.run.final.exists(), command, "no save"
        )
        if gate.reached(number) is None:
            gate.open_for_good()
            return
        yield number


def with_everything_still(scene: Scene, action: Callable[[], object]) -> None:
    """Do it while no process of the run moves."""
    scene.send(SIGSTOP, "all")
    action()
    scene.send(SIGCONT, "all")


def going_on_from_each(copies: dict[RunDir, str], scene: Scene) -> Iterator[str]:
    """Judge every copy and let those with different files go on; one row each for the table."""
    found_in = {copy: chosen(copy) for copy in copies}
    alive = different(list(copies))
    checkpoints = {copy.path: found.path for copy in alive if (found := found_in[copy]) is not None}
    with chdir(scene.place.folder):
        code = tiny.finish(
            tiny.start([copy.path for copy in alive if copy.path in checkpoints], checkpoints=checkpoints)
        )
    if code != 0:
        yield f"going on from the copies ended with {code}: {tiny.log_tail(alive[0].path)[-600:]}"
    for copy, call in copies.items():
        faults = [
            *torn_before(copy, found_in[copy], scene.place),
            *(other_end(copy, scene.place) if copy in alive else ()),
        ]
        found = found_in[copy]
        scene.rows.append((call, "none" if found is None else found.path.name, "; ".join(faults) or "the same"))
        yield from (f"before `{call}`: {fault}" for fault in faults)


def torn_before(copy: RunDir, found: object, place: Place) -> Iterator[str]:
    """Why this copy could not go on."""
    if found is None:
        yield "no checkpoint is left to go on from"
    yield from torn(copy, place)


def different(copies: list[RunDir]) -> list[RunDir]:
    """Those copies whose files are not those of the copy before."""
    kept: list[RunDir] = []
    for copy in copies:
        if not kept or files_of(copy) != files_of(kept[-1]):
            kept.append(copy)
    return kept


def files_of(run: RunDir) -> dict[str, int]:
    """Name and size of everything below the checkpoints."""
    paths = [path for path in run.checkpoints.rglob("*") if path.is_file()]
    return {str(path.relative_to(run.path)): path.stat().st_size for path in paths}


def killed(name: str, pattern: str, *, rank: int = 0, number: int = 1) -> Fault:
    """A row of this group."""
    play = at(pattern, rank=rank, number=number)
    whole = f"SIGKILL to all before {name}"
    return Fault(name=whole, group="saves", play=play, codes=(0,), says=INTERRUPTED, after="resumes")


FAULTS: tuple[Fault, ...] = (
    killed("the first file of a checkpoint", "*checkpoint-4*"),
    killed("rank 0's optimizer file", "open *checkpoint-4*optim_states*"),
    killed("rank 1's optimizer file", "open *checkpoint-4*optim_states*", rank=1),
    killed("trainer_state.json", "open *checkpoint-4*trainer_state*"),
    killed("the seal of a checkpoint", "*checkpoint-4*complete.json*"),
    killed("an old checkpoint goes", "unlink *checkpoint-2*", number=3),
    killed("the first file of the result", "open */final*"),
    killed("the success marker", "*success.json*"),
    Fault(
        name="each change of a save, rank 0 stopped before it",
        group="saves",
        play=every_boundary,
        codes=(0,),
        says="Done",
        after="is done",
    ),
)
