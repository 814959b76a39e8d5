"""What is not as the plan saw it: data, weights, the port, the run folder, the clock, another launch."""

from __future__ import annotations

import json
import shutil
import socket
import struct
from collections.abc import Callable
from pathlib import Path
from signal import SIGKILL

from tests.faults.checkpoints import killed_run
from tests.faults.fault import After, Fault
from tests.faults.judging import left_over, other_end
from tests.faults.machine import at_gate
from tests.faults.place import DATA, MODEL
from tests.faults.scene import Command, Scene
from tunekit.launcher.json_lines import read_record

Play = Callable[[Scene], Command]
DAY = 86400


def own(scene: Scene, name: str) -> Path:
    """The scene's copy of the data or the model."""
    source, target = scene.place.folder / name, scene.folder / name
    shutil.copytree(source, target) if source.is_dir() else shutil.copy(source, target)
    return target


def data_gone(phase: str) -> Play:
    """The data file goes while rank 0 stands at the gate; it comes back when all is over."""

    def play(scene: Scene) -> Command:
        data = own(scene, DATA)
        kept = data.with_suffix(".kept")
        scene.undo.append(lambda: kept.rename(data) if kept.exists() else None)
        gate = (
            scene.gate_at("step")
            if phase == "step"
            else scene.gate("open */events.jsonl", scene.place.event_number("data"))
        )
        command = scene.launch(f"data.path={data}", gate=gate)
        scene.arrive(gate, command)
        data.rename(kept)
        gate.let_pass(gate.first)
        return command

    return play


def data_gone_before(scene: Scene) -> Command:
    """The plan was made, then the data went."""
    data = own(scene, DATA)
    scene.tunekit("plan", "fault.yaml", f"data.path={data}").wait()
    data.unlink()
    return scene.launch(f"data.path={data}")


def data_gone_for_resume(scene: Scene) -> Command:
    """The data went between the kill and `resume`."""
    data = own(scene, DATA)
    gate = scene.gate_at("step")
    command = scene.launch(f"data.path={data}", gate=gate)
    scene.arrive(gate, command)
    scene.send(SIGKILL, "all")
    command.wait()
    data.unlink()
    shutil.rmtree(scene.run.logs)
    return scene.tunekit("resume", str(scene.run.path))


def rows_with(line: str, *, alone: bool = False) -> Play:
    """A line of the data is not as the others; or it is the only one."""

    def play(scene: Scene) -> Command:
        data = own(scene, DATA)
        lines = [] if alone else data.read_text().splitlines(keepends=True)
        data.write_text("".join([*lines[: len(lines) // 2], line, *lines[len(lines) // 2 :]]))
        return scene.launch(f"data.path={data}")

    return play


def spoilt_weights(scene: Scene) -> Command:
    """One weight of the model is not a number."""
    model = own(scene, MODEL)
    with (model / "model.safetensors").open("r+b") as file:
        length = struct.unpack("<Q", file.read(8))[0]
        file.seek(8 + length)
        file.write(b"\xff\x7f")  # bf16
    return scene.launch(f"model.path={model}")


def torn_weights(scene: Scene) -> Command:
    """The model's file was cut off."""
    model = own(scene, MODEL)
    with (model / "model.safetensors").open("r+b") as file:
        file.truncate(100_000)
    return scene.launch(f"model.path={model}")


def no_weights(scene: Scene) -> Command:
    """The model's folder has no weights."""
    model = own(scene, MODEL)
    (model / "model.safetensors").unlink()
    return scene.launch(f"model.path={model}")


def port_taken(scene: Scene) -> Command:
    """The port that the user names is another program's."""
    taken = listening(0)
    scene.closing.append(taken.close)
    return scene.launch("--master-port", str(taken.getsockname()[1]))


def port_taken_late(scene: Scene) -> Command:
    """The port is taken between the choice and the ranks' start."""
    command = scene.launch()
    scene.until(lambda: port_of(scene) is not None, command, "no port was chosen")
    taken = listening(port_of(scene) or 0)
    scene.undo.append(taken.close)
    return command


def port_of(scene: Scene) -> int | None:
    """The port of the run, when it is chosen."""
    argv = (read_record(scene.run.launch) or {}).get("argv")
    return int(argv[argv.index("--master_port") + 1]) if argv else None


def listening(port: int) -> socket.socket:
    """Another program's port."""
    taken = socket.socket()
    taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    taken.bind(("", port))
    taken.listen()
    return taken


def two_at_once(scene: Scene) -> Command:
    """Two terminals, the same command: one runs, the other is refused."""
    commands = [scene.launch(), scene.launch()]
    codes = sorted(command.wait() for command in commands)
    if codes != [0, 2]:
        scene.problems.append(f"the two ended with {codes}")
    return max(commands, key=lambda command: command.code or 0)


def two_beside(scene: Scene) -> Command:
    """Two launches into different folders at the same time."""
    other = Scene(place=scene.place, name=f"{scene.name}, the other")
    commands = [scene.launch(), other.launch()]
    scene.problems += [f"one ended with {command.code}" for command in commands if command.wait() != 0]
    scene.problems += [*left_over(other), *other_end(other.run, other.place)]
    other.close()
    return commands[0]


def while_it_runs(verb: str) -> Play:
    """Another command on a run that is going on."""

    def play(scene: Scene) -> Command:
        gate = scene.gate_at("step")
        first = scene.launch(gate=gate)
        scene.arrive(gate, first)
        second = scene.launch() if verb == "launch" else scene.tunekit(verb, str(scene.run.path))
        second.wait()
        gate.let_pass(gate.first)
        if first.wait() != 0:
            scene.problems.append(f"the run that was going on ended with {first.code}")
        return second

    return play


def moved_away(scene: Scene) -> Command:
    """The run's folder is moved while it runs; it comes back when all is over."""
    elsewhere = scene.folder / "elsewhere"

    def back() -> None:
        shutil.rmtree(scene.run.path, ignore_errors=True)
        elsewhere.rename(scene.run.path)

    scene.undo.append(back)
    return at_gate(scene, scene.gate_at("step"), lambda: scene.run.path.rename(elsewhere))


def deleted(scene: Scene) -> Command:
    """The run's folder is deleted while it runs."""
    return at_gate(scene, scene.gate_at("step"), lambda: shutil.rmtree(scene.run.path))


def moved_then_resumed(scene: Scene) -> Command:
    """A killed run is moved to another folder."""
    killed_run(scene)
    home = scene.folder / "moved"
    home.mkdir()
    scene.run.path.rename(home / scene.run.path.name)
    scene.home = home
    return scene.tunekit("resume", str(scene.run.path))


def damaged(name: str, text: str) -> Play:
    """A file of the run folder is not what it was."""

    def play(scene: Scene) -> Command:
        killed_run(scene)
        shutil.rmtree(scene.run.logs)
        (scene.run.path / name).write_text(text)
        return scene.tunekit("resume", str(scene.run.path))

    return play


def half_line(scene: Scene) -> Command:
    """The kill has left half a line in metrics.jsonl and in events.jsonl."""
    killed_run(scene)
    for path in (scene.run.metrics, scene.run.events):
        with path.open("a") as file:
            file.write('{"step": 5, "lo')
    return scene.tunekit("resume", str(scene.run.path))


def clock(seconds: int) -> Play:
    """The time of day jumps in every process."""

    def play(scene: Scene) -> Command:
        ahead = scene.folder / "ahead"
        gate = scene.gate_at("step")
        command = scene.launch(gate=gate, env={"CLOCK": str(ahead)})
        scene.arrive(gate, command)
        ahead.write_text(str(seconds))
        gate.let_pass(gate.first)
        return command

    return play


def fault(name: str, play: Play, *, codes: tuple[int, ...], says: str, after: After) -> Fault:
    """A row of this group."""
    return Fault(name=name, group="inputs", play=play, codes=codes, says=says, after=after)


ROW = {"instruction": "What?", "input": "", "output": "That."}
OTHER = {"question": "What?", "reply": "That."}

FAULTS: tuple[Fault, ...] = (
    fault(
        "the data file gone between plan and launch",
        data_gone_before,
        codes=(2,),
        says="rows.jsonl",
        after="was refused",
    ),
    fault("the data file gone while loading", data_gone("load"), codes=(1, 2), says="rows.jsonl", after="starts anew"),
    fault("the data file gone in a step", data_gone("step"), codes=(0,), says="Done", after="is done"),
    fault("the data file gone before resume", data_gone_for_resume, codes=(2,), says="rows.jsonl", after="was refused"),
    fault(
        "a line of the data that is no JSON",
        rows_with('{"instruction": \n'),
        codes=(2,),
        says="line|JSON",
        after="was refused",
    ),
    fault(
        "NaN where the data has a text",
        rows_with(json.dumps(ROW).replace('"That."', "NaN") + "\n"),
        codes=(0, 1, 2),
        says="NaN|nan|Done|text|string",
        after="stays so",
    ),
    fault(
        "a row of other columns",
        rows_with(json.dumps(OTHER) + "\n", alone=True),
        codes=(2,),
        says="column|format",
        after="was refused",
    ),
    fault("a data file of no rows", rows_with("", alone=True), codes=(2,), says="empty|no rows", after="was refused"),
    fault(
        "a weight that is not a number",
        spoilt_weights,
        codes=(1, 130),
        says="[Nn]a[Nn]|not a number|diverged",
        after="stays so",
    ),
    fault("a model file cut off", torn_weights, codes=(2,), says="model.safetensors|safetensors", after="was refused"),
    fault("a model folder without weights", no_weights, codes=(2,), says="safetensors|weights", after="was refused"),
    fault("the named port in use", port_taken, codes=(2,), says="in use", after="was refused"),
    fault(
        "the port taken after it was chosen", port_taken_late, codes=(1,), says="port was taken", after="starts anew"
    ),
    fault(
        "two launches into one folder at once", two_at_once, codes=(2,), says="another|going on|holds", after="is done"
    ),
    fault("two launches into two folders at once", two_beside, codes=(0,), says="Done", after="is done"),
    fault(
        "a launch into the folder of a run that goes on",
        while_it_runs("launch"),
        codes=(2,),
        says="going on",
        after="is done",
    ),
    fault("resume of a run that goes on", while_it_runs("resume"), codes=(2,), says="running", after="is done"),
    fault("the run folder moved while it runs", moved_away, codes=(1,), says="moved or deleted", after="resumes"),
    fault("the run folder deleted while it runs", deleted, codes=(1,), says="moved or deleted", after="stays so"),
    fault("the run folder moved before resume", moved_then_resumed, codes=(0,), says="Done", after="is done"),
    fault(
        "plan.json cut off before resume",
        damaged("plan.json", '{"recipe": '),
        codes=(2,),
        says="plan.json",
        after="was refused",
    ),
    fault(
        "launch.json cut off before resume",
        damaged("launch.json", "{"),
        codes=(0, 2),
        says="Done|launch.json",
        after="stays so",
    ),
    fault("half a line in metrics.jsonl and events.jsonl", half_line, codes=(0,), says="Done", after="is done"),
    fault("the clock jumps a day ahead", clock(DAY), codes=(0,), says="Done", after="is done"),
    fault("the clock jumps a day back", clock(-DAY), codes=(0,), says="Done", after="is done"),
)
