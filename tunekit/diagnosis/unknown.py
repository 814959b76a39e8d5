"""What can be done about an error that no signature knows: where it was raised tells whose it is."""

from __future__ import annotations

import re
from dataclasses import dataclass

_FRAME = re.compile(r'^\s*File "([^"\n]+)", line (\d+)', re.MULTILINE)
_LIBRARY = re.compile(r"(?:site|dist)-packages/([^/]+)/|/(tunekit)/")
_PYTHONS = re.compile(r"/lib/python3\.\d+/(?!site-|dist-)|^<")


@dataclass(frozen=True, slots=True)
class Frame:
    """One place of a traceback."""

    file: str
    line: int

    @property
    def library(self) -> str:
        """The package that it lies in; empty for a program of the user's own."""
        match = _LIBRARY.search(self.file)
        return (match[1] or match[2]) if match else ""

    def __str__(self) -> str:
        """`train.py, line 3`, or `engine.py of deepspeed, line 2001`."""
        of = f" of {self.library}" if self.library else ""
        return f"{self.file.rpartition('/')[2]}{of}, line {self.line}"


def frames(traceback: str) -> list[Frame]:
    """The places that a traceback names, the innermost last; those of Python's own library are left out."""
    found = (Frame(match[1], int(match[2])) for match in _FRAME.finditer(traceback))
    return [frame for frame in found if not _PYTHONS.search(frame.file)]


def cure_of(traceback: str) -> str:
    """Where to look for the cause of an error that is not known; empty where no place is named."""
    places = frames(traceback)
    if not places:
        return ""
    inner = places[-1]
    own = next((frame for frame in reversed(places) if not frame.library), None)
    if not inner.library:
        return f"look at {inner}, which raised it: the line is the program's own"
    called = "" if own is None else f", called from {own}"
    return f"it was raised in {inner}{called}: search its last line among the issues of {inner.library}"
