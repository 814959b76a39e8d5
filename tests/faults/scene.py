"""The stage of one fault: real commands, the gate in front of a write, processes by their part, and what is left."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Literal

import psutil

from tests.faults.place import RECIPE, Place, slug
from tunekit.launcher.environment import RUN_VARIABLE
from tunekit.launcher.run_dir import RunDir

LIMIT_SECONDS = 120.0
"""Of one command; a run of eight steps takes 20 s on two quiet cores, and several times that on busy ones."""
POLL_SECONDS = 0.02

Target = Literal["rank 0", "rank 1", "launch.py", "deepspeed", "tunekit", "all"]
TARGETS: tuple[Target, ...] = ("rank 0", "rank 1", "launch.py", "deepspeed", "tunekit", "all")


class Hung(Exception):
    """A command did not end, or a run did not come as far as it should, in time."""


@dataclass(frozen=True, kw_only=True)
class Gate:
    """Number `first` to `last` of a rank's writes, renames and removals that match `pattern`: it waits before each."""

    folder: Path
    pattern: str
    first: int = 1
    last: int | None = None
    rank: int = 0

    @property
    def variable(self) -> str:
        """What gate.c reads."""
        last = self.first if self.last is None else self.last
        return f"{self.rank}|{self.pattern}|{self.first}|{last}|{self.folder}"

    def reached(self, number: int) -> str | None:
        """The call that waits, with its path; None where the rank is not there yet."""
        mark = self.folder / f"reached-{number}"
        return mark.read_text().strip() if mark.exists() else None

    def let_pass(self, number: int) -> None:
        """The rank goes on."""
        (self.folder / f"go-{number}").touch()

    def open_for_good(self) -> None:
        """Nobody waits here any more."""
        for number in range(self.first, 1 + (self.last or self.first)):
            self.let_pass(number)


@dataclass(kw_only=True)
class Command:
    """A command as typed, and what it has said so far."""

    words: tuple[str, ...]
    popen: subprocess.Popen[bytes]
    output: Path
    errors: Path

    def wait(self, *, seconds: float = LIMIT_SECONDS) -> int:
        """The exit code. Hung: it goes on after `seconds`."""
        try:
            return self.popen.wait(seconds)
        except subprocess.TimeoutExpired:
            raise Hung(f"`{self.typed}` did not end in {seconds:.0f} s") from None

    @property
    def typed(self) -> str:
        """The command."""
        return " ".join(["tunekit", *self.words[:1]])

    @property
    def text(self) -> str:
        """Everything the user has seen."""
        return self.output.read_text(errors="replace") + self.errors.read_text(errors="replace")

    @property
    def code(self) -> int | None:
        """The exit code, or None while it runs."""
        return self.popen.poll()


@dataclass(kw_only=True)
class Scene:
    """One fault's own folder and run. Whatever it started or mounted is gone after `close`."""

    place: Place
    name: str
    again: bool = False
    """Whether the run is the one started over, beside what the fault has left."""
    commands: list[Command] = field(default_factory=list)
    undo: list[Callable[[], object]] = field(default_factory=list)
    """Called by `mend`: what ends the fault, such as freeing the disk."""
    closing: list[Callable[[], object]] = field(default_factory=list)
    """Called by `close`, such as unmounting."""
    home: Path | None = None
    """Where the run lies, if not in runs/."""
    problems: list[str] = field(default_factory=list)
    """What a play itself found wrong."""
    ports: set[str | None] = field(default_factory=set)
    rows: list[tuple[str, ...]] = field(default_factory=list)
    """Of a play that is many faults: one row each for the table."""

    def __post_init__(self) -> None:
        again = self.run.path.with_name(f"{self.run.path.name}_again")
        for folder in (self.run.path, again, self.folder):
            shutil.rmtree(folder, ignore_errors=True)
        self.folder.mkdir(parents=True)

    @property
    def folder(self) -> Path:
        """What the fault needs beside the run."""
        return self.place.folder / "scenes" / slug(self.name)

    @property
    def run(self) -> RunDir:
        """The run that suffers; after `start_over` another."""
        home = self.place.folder / "runs" if self.home is None else self.home
        return RunDir(home / (slug(self.name) + "_again" * self.again))

    def launch(
        self,
        *overrides: str,
        gate: Gate | None = None,
        env: Mapping[str, str] = MappingProxyType({}),
        before: Sequence[str] = (),
        terminal: int | None = None,
    ) -> Command:
        """`tunekit launch` of the recipe into this scene's run."""
        words = ("launch", RECIPE, f"output.dir={self.run.path}", *overrides)
        return self.tunekit(*words, gate=gate, env=env, before=before, terminal=terminal)

    def tunekit(
        self,
        *words: str,
        gate: Gate | None = None,
        env: Mapping[str, str] = MappingProxyType({}),
        before: Sequence[str] = (),
        terminal: int | None = None,
    ) -> Command:
        """Start a command; `before` are words in front of it, such as `unshare -m`; its words go to a file, or to
        `terminal`."""
        number = len(self.commands)
        preload = {} if gate is None else {"LD_PRELOAD": str(self.place.gate), "GATE": gate.variable}
        output, errors = (self.folder / f"{number}.{name}" for name in ("out", "err"))
        with output.open("wb") as out, errors.open("wb") as err:
            popen = subprocess.Popen(
                [*before, sys.executable, "-m", "tunekit", *words],
                cwd=self.place.folder,
                env={**self.place.environment(), **preload, **env},
                stdin=subprocess.DEVNULL,
                stdout=out if terminal is None else terminal,
                stderr=err if terminal is None else terminal,
                start_new_session=True,
            )
        self.commands.append(Command(words=words, popen=popen, output=output, errors=errors))
        return self.commands[-1]

    def gate(self, pattern: str, number: int = 1, *, last: int | None = None, rank: int = 0) -> Gate:
        """A gate with a folder of its own; the pattern is matched with `open /path` and the like."""
        folder = self.folder / f"gate-{len(list(self.folder.glob('gate-*')))}"
        folder.mkdir()
        return Gate(folder=folder, pattern=pattern, first=number, last=last, rank=rank)

    def gate_at(self, phase: str) -> Gate:
        """Before the model's load, before the report of step 5, amid the save at step 4, before the evaluation."""
        match phase:
            case "load":
                return self.gate("open */events.jsonl", self.place.event_number("model"))
            case "step":
                return self.gate("open */metrics.jsonl", 5)
            case "save":
                return self.gate("*checkpoint-4*", 6)
            case "eval":
                return self.gate("open */events.jsonl", self.place.event_number("eval"))
        return self.gate("open */final*", 2)

    def arrive(self, gate: Gate, command: Command, number: int | None = None) -> str:
        """Wait until the rank stands at the gate. Hung: it does not come."""
        wanted = gate.first if number is None else number
        self.until(lambda: gate.reached(wanted) is not None, command, f"rank {gate.rank} never came to {gate.pattern}")
        self.ports.add(self.port())
        return gate.reached(wanted) or ""

    def until(self, condition: Callable[[], bool], command: Command, otherwise: str) -> None:
        """Wait while the command runs. Hung: it ended, or it took too long."""
        deadline = time.monotonic() + LIMIT_SECONDS
        while not condition():
            if command.code is not None:
                raise Hung(f"{otherwise}: the command ended with {command.code}: {command.text[-600:]}")
            if time.monotonic() > deadline:
                raise Hung(otherwise)
            time.sleep(POLL_SECONDS)

    def processes(self, target: Target) -> list[psutil.Process]:
        """The living processes that play this part, asked of the system and not of tunekit."""
        marked = list(marked_processes(self.run.path))
        own = [psutil.Process(command.popen.pid) for command in self.commands if command.code is None]
        if target == "tunekit":
            return own
        if target == "all":
            return [*marked, *own]
        return [process for process in marked if part_of(process) == target]

    def until_gone(self) -> None:
        """Wait until no process of the run lives. Hung: some do."""
        self._wait(lambda: not any(marked_processes(self.run.path)), "processes of the run live on")

    def until_still(self) -> None:
        """Wait until the run has written nothing for two seconds, or is done."""
        deadline = time.monotonic() + LIMIT_SECONDS
        files = (self.run.events, self.run.metrics)
        while time.monotonic() < deadline and not self.run.success.exists():
            newest = max((path.stat().st_mtime for path in files if path.exists()), default=0.0)
            if time.time() - newest > 2.0:
                return
            time.sleep(POLL_SECONDS)

    def _wait(self, condition: Callable[[], bool], otherwise: str) -> None:
        deadline = time.monotonic() + LIMIT_SECONDS
        while not condition():
            if time.monotonic() > deadline:
                raise Hung(otherwise)
            time.sleep(POLL_SECONDS)

    def send(self, number: signal.Signals, target: Target) -> None:
        """Signal every process of this part, at once. Hung: there is none."""
        found = self.processes(target)
        if not found:
            raise Hung(f"there is no process to signal: {target}")
        for process in found:
            with suppress(psutil.NoSuchProcess):
                process.send_signal(number)

    def mend(self) -> None:
        """End the fault, so that the run can go on."""
        while self.undo:
            self.undo.pop()()

    def close(self) -> None:
        """Leave nothing behind: what runs is killed, what is mounted is unmounted."""
        for command in self.commands:
            if command.code is None:
                command.popen.kill()
                command.popen.wait()
        for process in marked_processes(self.run.path):
            with suppress(psutil.NoSuchProcess):
                process.kill()
        self.mend()
        while self.closing:
            self.closing.pop()()

    def port(self) -> str | None:
        """The port of the run's latest attempt, or None where it has none yet."""
        try:
            argv = json.loads(self.run.launch.read_text())["argv"]
        except (OSError, ValueError):
            return None
        return str(argv[argv.index("--master_port") + 1])

    def shared_memory(self) -> list[Path]:
        """What the run has left in RAM, told by its ports."""
        ports = {*self.ports, self.port()} - {None}
        return [path for port in ports for path in Path("/dev/shm").glob(f"*_{port}_*")]


def marked_processes(run: Path) -> Iterator[psutil.Process]:
    """Every living process that carries the mark of the run in its environment."""
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            marked = process.pid != os.getpid() and process.environ().get(RUN_VARIABLE) == str(run)
            if marked and process.status() != psutil.STATUS_ZOMBIE:
                yield process


def part_of(process: psutil.Process) -> Target | None:
    """Which part a process of a run plays; None for helpers."""
    try:
        words, parent = process.cmdline(), process.parent()
        rank = process.environ().get("RANK")
        parents_rank = None if parent is None else parent.environ().get("RANK")
    except psutil.Error:
        return None
    if rank is not None:
        return f"rank {rank}" if parents_rank is None else None  # type: ignore[return-value]
    if "deepspeed.launcher.launch" in words:
        return "launch.py"
    named = any(word.endswith("/deepspeed") or word == "deepspeed.launcher.runner" for word in words[:4])
    return "deepspeed" if named else None
