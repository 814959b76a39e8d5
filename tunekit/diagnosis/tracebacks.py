"""Python tracebacks in a log: the first that counts, and all of them in order."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from tunekit.diagnosis.cleaning import plain

TRACEBACK = "Traceback (most recent call last):"
FATAL = "Fatal Python error: "
"""What faulthandler writes before a signal such as SIGSEGV ends the process."""
LONGEST = 1 << 20
_CRASH_LINES = 8
_IGNORED = ("Exception ignored ", "--- Logging error ---")
"""What Python writes above the traceback of a destructor, where something else was wrong before, and of a logger."""
_CHAINED = ("During handling of the above exception", "The above exception was the direct cause")
"""What stands between two tracebacks of one error."""
_OF_GLOG = re.compile(r"^[IWEF]\d{4} \d\d:\d\d:\d\d\.")
"""torch's launcher, in the midst of a rank's traceback."""
_POINTERS = re.compile(r"^[\s^~]*$")
_LINE_BEFORE = 1 << 12
"""Characters before a traceback in which the line above it is looked for."""
SHOWN_LINES = 12


@dataclass(frozen=True, slots=True, kw_only=True)
class Traceback:
    """One traceback: its lines up to the one that names the error, and the place where it begins."""

    text: str
    place: int
    ignored: bool = False
    """A destructor's or a logger's: Python went on."""


def tracebacks(text: str) -> Iterator[Traceback]:
    """Every traceback in a log, in order. One that another rank's begins in, line by line, is read as one with it."""
    start, ignored = text.find(TRACEBACK), False
    while start >= 0:
        found, before = "\n".join(_upto_the_error(text, start)), _line_before(text, start)
        ignored = any(words in before for words in (*_IGNORED, *(_CHAINED if ignored else ())))
        yield Traceback(text=found, place=start, ignored=ignored)
        start = text.find(TRACEBACK, start + len(found))


def first_traceback(text: str) -> str | None:
    """The first Python traceback in a log, up to the line that names the error; else what faulthandler says of a crash.

    Later ones are consequences: other ranks' timeouts, the launcher's own. Those that ended nothing are passed over.
    """
    text = plain(text)
    found = next((each for each in tracebacks(text) if not each.ignored), None)
    return found.text if found is not None else native_crash(text)


def native_crash(text: str) -> str | None:
    """What faulthandler says of a crash in native code: the signal, and the innermost Python lines."""
    start = text.find(FATAL)
    if start < 0:
        return None
    return "\n".join(text[start : start + LONGEST].splitlines()[:_CRASH_LINES])


def last_lines(text: str) -> tuple[str, ...]:
    """The last lines of a traceback, without the lines that only point into the line above."""
    return tuple(line.rstrip() for line in plain(text).splitlines() if not _POINTERS.match(line))[-SHOWN_LINES:]


def _line_before(text: str, place: int) -> str:
    """The last line before a place that is not blank."""
    return text[max(0, place - _LINE_BEFORE) : place].rstrip().rpartition("\n")[2]


def _upto_the_error(text: str, start: int) -> Iterator[str]:
    """The lines of the traceback that begins here, one by one: a log may hold as many tracebacks as lines."""
    place, end = start, min(len(text), start + LONGEST)
    while place < end:
        stop = text.find("\n", place, end)
        line = text[place : stop if stop >= 0 else end].rstrip("\r")
        yield line
        if place > start and _names_the_error(line):
            return
        place = stop + 1 if stop >= 0 else end


def _names_the_error(line: str) -> bool:
    return bool(line) and not line.startswith((" ", "\t")) and line != TRACEBACK and not _OF_GLOG.match(line)
