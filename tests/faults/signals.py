"""A signal to each part of a run, in each of its phases."""

from __future__ import annotations

import os
import pty
import signal
from collections.abc import Callable
from signal import SIGCONT, SIGHUP, SIGINT, SIGKILL, SIGSTOP, SIGTERM

from tests.faults.fault import After, Fault
from tests.faults.scene import TARGETS, Command, Scene, Target

GO_ON = r"tunekit resume"
STOPPED = r"Stopped|stopped"
Play = Callable[[Scene], Command]


def struck(number: signal.Signals, target: Target, phase: str) -> Play:
    """Send the signal while rank 0 stands at the gate of this phase."""

    def play(scene: Scene) -> Command:
        gate = scene.gate_at(phase)
        command = scene.launch(gate=gate)
        scene.arrive(gate, command)
        scene.send(number, target)
        gate.let_pass(gate.first)
        return command

    return play


def orphaned(number: signal.Signals, target: Target, phase: str) -> Play:
    """The command dies; the user asks `tunekit status`, when the ranks have come to their end."""

    def play(scene: Scene) -> Command:
        command = struck(number, target, phase)(scene)
        command.wait()
        status = scene.tunekit("status", str(scene.run.path))
        status.wait()
        scene.until_gone()
        return scene.tunekit("status", str(scene.run.path))

    return play


def stopped_by_user(target: Target, phase: str = "step") -> Play:
    """The part is frozen; the user waits in vain and types `tunekit stop`."""

    def play(scene: Scene) -> Command:
        command = struck(SIGSTOP, target, phase)(scene)
        scene.tunekit("stop", str(scene.run.path)).wait()
        return command

    return play


def thawed(target: Target, phase: str = "step") -> Play:
    """The part is frozen, and goes on when nothing else moves any more."""

    def play(scene: Scene) -> Command:
        command = struck(SIGSTOP, target, phase)(scene)
        scene.until_still()
        scene.send(SIGCONT, target)
        return command

    return play


def frozen(target: Target) -> Play:
    """The part is frozen for good."""
    return struck(SIGSTOP, target, "step")


def hung_up(phase: str) -> Play:
    """The terminal is closed: its end goes, and SIGHUP comes."""

    def play(scene: Scene) -> Command:
        gate = scene.gate_at(phase)
        terminal, its_end = pty.openpty()
        command = scene.launch(gate=gate, terminal=its_end)
        os.close(its_end)
        scene.arrive(gate, command)
        os.close(terminal)
        command.popen.send_signal(SIGHUP)
        gate.let_pass(gate.first)
        command.wait()
        return scene.tunekit("status", str(scene.run.path))

    return play


def name(number: signal.Signals, target: Target, phase: str) -> str:
    """`SIGKILL to rank 0 in a step`."""
    where = {"load": "while loading", "step": "in a step", "save": "while saving", "eval": "while evaluating"}
    to = "tunekit and the whole run" if target == "all" else target
    return f"{number.name} to {to} {where.get(phase, 'while writing the result')}"


def fault(
    number: signal.Signals,
    target: Target,
    phase: str,
    play: Play,
    *,
    codes: tuple[int, ...],
    says: str,
    after: After,
    but: str = "",
) -> Fault:
    """A row of this group."""
    whole = name(number, target, phase) + but
    return Fault(name=whole, group="signals", play=play, codes=codes, says=says, after=after)


def killed(target: Target, phase: str) -> Fault:
    """SIGKILL to something inside the run: the run has failed, and goes on from its checkpoint if it has one."""
    after: After = "starts anew" if phase == "load" else "resumes"
    says = {"rank 0": "rank 0.*SIGKILL", "rank 1": "rank 1.*SIGKILL"}.get(target, f"failed|{STOPPED}")
    codes = (1,) if target in ("rank 0", "rank 1") else (1, 130)  # without the launcher the ranks are asked to end
    play = struck(SIGKILL, target, phase)
    return fault(SIGKILL, target, phase, play, codes=codes, says=says, after=after)


def asked(number: signal.Signals, target: Target, phase: str) -> Fault:
    """A request to end: the ranks save together and end."""
    after: After = "starts anew" if phase == "load" else "resumes"
    play = struck(number, target, phase)
    return fault(number, target, phase, play, codes=(130,), says=STOPPED, after=after)


def launcher_ended(number: signal.Signals, target: Target) -> Fault:
    """deepspeed's own processes end on a signal without the ranks: those must not go on unseen."""
    play = struck(number, target, "step")
    return fault(number, target, "step", play, codes=(1, 130), says=f"{GO_ON}|failed|{STOPPED}", after="resumes")


ALONE = orphaned(SIGKILL, "tunekit", "step")
ALL = orphaned(SIGKILL, "all", "step")

FAULTS: tuple[Fault, ...] = (
    *(killed(target, "step") for target in TARGETS[:4]),
    fault(SIGKILL, "tunekit", "step", ALONE, codes=(0,), says="done", after="is done"),
    fault(SIGKILL, "all", "step", ALL, codes=(0,), says="lost|failed|interrupted", after="resumes"),
    *(asked(number, target, "step") for number in (SIGTERM, SIGINT) for target in ("rank 0", "rank 1")),
    *(launcher_ended(number, target) for number in (SIGTERM, SIGINT) for target in ("launch.py", "deepspeed")),
    *(asked(number, "tunekit", "step") for number in (SIGTERM, SIGINT)),
    *(asked(number, "all", "step") for number in (SIGTERM, SIGINT)),
    *(
        fault(SIGSTOP, target, "step", stopped_by_user(target), codes=(130,), says=STOPPED, after="resumes", but=more)
        for target, more in (("rank 0", ", then `tunekit stop`"), ("rank 1", ", then `tunekit stop`"))
    ),
    fault(SIGSTOP, "rank 1", "step", thawed("rank 1"), codes=(0,), says="Done", after="is done", but=", then SIGCONT"),
    fault(SIGSTOP, "launch.py", "step", frozen("launch.py"), codes=(0,), says="Done", after="is done"),
    fault(SIGSTOP, "deepspeed", "step", frozen("deepspeed"), codes=(0,), says="Done", after="is done"),
    fault(
        SIGSTOP, "tunekit", "step", thawed("tunekit"), codes=(0,), says="Done", after="is done", but=", then SIGCONT"
    ),
    fault(SIGSTOP, "all", "step", thawed("all"), codes=(0,), says="Done", after="is done", but=", then SIGCONT"),
    *(killed(target, phase) for phase in ("load", "save") for target in ("rank 0", "rank 1")),
    killed("rank 0", "eval"),
    killed("rank 0", "result"),
    killed("launch.py", "load"),
    *(asked(SIGTERM, "tunekit", phase) for phase in ("load", "save", "eval")),
    asked(SIGINT, "tunekit", "load"),
    asked(SIGTERM, "rank 1", "load"),
    asked(SIGTERM, "rank 1", "save"),
    asked(SIGINT, "rank 0", "eval"),
    fault(
        SIGHUP, "tunekit", "step", hung_up("step"), codes=(0,), says="done", after="is done", but=" (closed terminal)"
    ),
    fault(
        SIGHUP, "tunekit", "load", hung_up("load"), codes=(0,), says="done", after="is done", but=" (closed terminal)"
    ),
)
