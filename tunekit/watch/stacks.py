"""Stacks of ranks that give no sign of life: read from py-spy or faulthandler, and who of them is the silent one."""

from __future__ import annotations

import json
import re
import signal
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import PurePath

STACK_SIGNAL = signal.SIGUSR2
"""What a rank answers with its stack (`tunekit.worker.signs`)."""

_FRAME = re.compile(r'  File "(?P<file>.*)", line (?P<line>\d+) in (?P<name>.*)')
_THREAD = re.compile(r"(?P<current>Current thread|Thread) 0x[0-9a-f]+.* \(most recent call first\):")

_COLLECTIVE_FILES = ("torch/distributed/", "deepspeed/comm/")
"""Python files in which a rank only waits for the others."""

STATES = {
    "T": "is stopped by a signal",
    "t": "is held by a debugger",
    "D": "waits for a drive or the network",
    "Z": "has ended",
    "X": "has ended",
}
"""Letters of /proc/PID/stat that tell why a process does nothing (proc(5))."""
CURES = {
    "T": "`kill -CONT {pid}` lets it go on",
    "t": "leave the debugger",
    "D": "look at the drive: `sudo dmesg | tail` and `iostat -x 1`",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Frame:
    """One call."""

    name: str
    file: str
    line: int

    def __str__(self) -> str:
        return f"{self.name} ({PurePath(self.file).name}:{self.line})"

    @property
    def waits_for_others(self) -> bool:
        """Whether it belongs to a collective operation."""
        return any(part in self.file for part in _COLLECTIVE_FILES)


@dataclass(frozen=True, slots=True, kw_only=True)
class RankStack:
    """The main thread of one rank, innermost call first; empty where nobody could read it."""

    rank: int
    pid: int
    state: str = "S"
    frames: tuple[Frame, ...] = ()

    @property
    def waits(self) -> bool:
        """Whether it waits in a collective operation for the others."""
        return bool(self.frames) and self.frames[0].waits_for_others

    @property
    def place(self) -> str:
        """Where it is: the innermost call, and for one that waits the innermost call of the training code too."""
        if not self.frames:
            return "at a place that could not be read"
        caller = next((frame for frame in self.frames if not frame.waits_for_others), None)
        called_from = f", called from {caller}" if self.waits and caller is not None else ""
        return f"in {self.frames[0]}{called_from}"


def silent_ranks(stacks: Sequence[RankStack]) -> tuple[RankStack, ...]:
    """Those that the others wait for: halted ones, else those outside a collective operation; () when all wait."""
    halted = tuple(stack for stack in stacks if stack.state in STATES)
    elsewhere = tuple(stack for stack in stacks if stack.frames and not stack.waits)
    return halted or (elsewhere if len(elsewhere) < len(stacks) or len(stacks) == 1 else ())


def stacks_text(stacks: Sequence[RankStack]) -> tuple[str, str]:
    """Who is silent and where every rank is; and what to type."""
    silent = silent_ranks(stacks)
    others = [stack for stack in stacks if stack not in silent]
    said = [_silent_text(stack) for stack in silent]
    said += [f"rank {stack.rank} {'waits' if stack.waits else 'is'} {stack.place}" for stack in others]
    cures = [CURES[stack.state].format(pid=stack.pid) for stack in silent if stack.state in CURES]
    return "; ".join(said), "; ".join(dict.fromkeys(cures))


def _silent_text(stack: RankStack) -> str:
    return f"rank {stack.rank} {STATES.get(stack.state, 'is')} {stack.place}"


def read_py_spy(text: str, pid: int) -> tuple[Frame, ...]:
    """The main thread in the output of `py-spy dump --json`; () where it is not to be read."""
    try:
        threads = json.loads(text)
        main = [thread for thread in threads if thread["os_thread_id"] == pid] or threads[:1]
        return tuple(
            Frame(name=str(frame["name"]), file=str(frame["filename"]), line=int(frame["line"]))
            for thread in main[:1]
            for frame in thread["frames"]
        )
    except (ValueError, TypeError, KeyError, AttributeError):
        return ()


def read_faulthandler(text: str) -> tuple[Frame, ...]:
    """The thread that took the signal, which is the main one, in the last dump of `text`."""
    blocks: list[tuple[bool, list[Frame]]] = []
    for line in text.splitlines():
        thread, frame = _THREAD.match(line), _FRAME.match(line)
        if thread is not None:
            blocks.append((thread["current"] == "Current thread", []))
        elif frame is not None and blocks:
            blocks[-1][1].append(Frame(name=frame["name"], file=frame["file"], line=int(frame["line"])))
    current = [frames for is_current, frames in blocks if is_current]
    return tuple(current[-1]) if current else ()


def as_text(frames: Iterable[Frame]) -> str:
    """Innermost call first, a line each, with whole paths."""
    return "".join(f"  {frame.name} ({frame.file}:{frame.line})\n" for frame in frames)
