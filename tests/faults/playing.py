"""Plays one fault on its scene and judges what became of it."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator

from tests.faults.fault import Fault, Outcome
from tests.faults.judging import last_message, left_over, other_end, torn, was_started
from tests.faults.place import Place, commit
from tests.faults.scene import Command, Hung, Scene


def suffer(fault: Fault, place: Place, *, waits: bool = False) -> Outcome:
    """Play the fault, look at what is left, go on as the user would, and compare the end.

    `waits`: a run that must go on waits for others, see `tests.faults.together`.
    """
    waits = waits and fault.after in ("resumes", "starts anew")
    began, problems, seen = time.monotonic(), [], "(nothing)"
    scene = Scene(place=place, name=fault.name)
    command: Command | None = None
    try:
        command = fault.play(scene)
        command.wait()
        seen = last_message(command, place)
        problems += judged(fault, scene, command)
        scene.mend()
        waits = waits and scene.home is None  # what lies on a drive of its own is gone when the scene closes
        problems += [*scene.problems, *(() if waits else going_on(fault, scene))]
    except Hung as hung:
        problems.append(str(hung))
    finally:
        scene.close()
    return Outcome(
        name=fault.name,
        group=fault.group,
        code=None if command is None else command.code,
        seen=seen,
        after=fault.after,
        problems=tuple(problems),
        seconds=round(time.monotonic() - began, 1),
        rows=tuple(scene.rows),
        commit=commit(),
        run=str(scene.run.path),
        waits=waits and not problems,
    )


def judged(fault: Fault, scene: Scene, command: Command) -> Iterator[str]:
    """What is wrong right after the fault."""
    if command.code not in fault.codes:
        yield f"exit code {command.code}, not {' or '.join(map(str, fault.codes))}"
    if not re.search(fault.says, command.text, re.DOTALL):
        yield f"it does not say {fault.says!r}: {command.text[-800:]}"
    if "Traceback (most recent call last)" in command.text and command.code in (0, 2, 3, 4):
        yield "the user sees a traceback"
    yield from left_over(scene)
    yield from torn(scene.run, scene.place)


def going_on(fault: Fault, scene: Scene) -> Iterator[str]:
    """What is wrong with the end, after the command that the user would type."""
    match fault.after:
        case "was refused":
            yield from was_started(scene)
            return
        case "stays so":
            return
        case "resumes":
            yield from ended_well(scene.tunekit("resume", str(scene.run.path)))
        case "starts anew":
            scene.again = True
            yield from ended_well(scene.launch())
    yield from left_over(scene)
    yield from other_end(scene.run, scene.place)


def ended_well(command: Command) -> Iterator[str]:
    """A command that should bring the run to its end."""
    if command.wait() != 0:
        yield f"`{command.typed}` ended with {command.code}: {command.text[-800:]}"
