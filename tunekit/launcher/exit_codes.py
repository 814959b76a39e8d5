"""What an exit code of the deepspeed command means. Pure."""

from __future__ import annotations

import signal as signals
from dataclasses import dataclass

STOPPED = 130
"""The ranks end with this after a stop request."""

_MEANING = {
    signals.SIGKILL: "ended from outside, as by the out-of-memory killer or `kill -9`",
    signals.SIGBUS: "most often /dev/shm is full or too small",
    signals.SIGABRT: "an abort in native code: the NCCL watchdog, or an assertion",
    signals.SIGSEGV: "a crash in native code: a library built for another torch, or the driver",
    signals.SIGILL: "an op that was built for another processor",
    signals.SIGTERM: "somebody ended the process",
    signals.SIGINT: "somebody interrupted the process",
    signals.SIGHUP: "the terminal was closed",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class ExitReading:
    """An exit code in words. `signal` is the number of the signal that ended a rank, or None."""

    code: int
    signal: int | None
    text: str


def read_exit_code(code: int) -> ExitReading:
    """Read the code of the deepspeed command, or of a rank.

    deepspeed's launcher hands a rank's death by signal n on as 256 - n; Popen reports its own child's as -n.
    """
    number = signal_of(code)
    if number is not None:
        return ExitReading(code=code, signal=number, text=f"exit code {code} = {signal_text(number)}")
    if code == 0:
        return ExitReading(code=0, signal=None, text="exit code 0, but the worker's success marker is missing")
    text = "exit code 1: a Python error" if code == 1 else f"exit code {code}"
    return ExitReading(code=code, signal=None, text=text)


def signal_text(number: int) -> str:
    """A signal by number and name, with what it most often means."""
    try:
        signal = signals.Signals(number)
    except ValueError:  # one of the real-time signals, most of which have no name
        return f"signal {number}: ended by a signal"
    return f"signal {number} ({signal.name}): {_MEANING.get(signal, 'ended by a signal')}"


def signal_of(code: int) -> int | None:
    """The signal number in an exit code (negative, 256 - n, or a shell's 128 + n), or None."""
    if code < 0:
        candidate = -code
    elif 256 - 32 < code < 256:
        candidate = 256 - code
    elif 128 < code < 128 + 32 and code != STOPPED:
        candidate = code - 128
    else:
        return None
    return candidate if candidate in {item.value for item in signals.Signals} else None
