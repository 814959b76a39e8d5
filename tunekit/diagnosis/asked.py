"""Numbers in what an allocator says when it is out of memory: how much the job would have needed, at least."""

from __future__ import annotations

import re

from tunekit.units import GIB, KIB, MIB

_UNITS = {"GiB": GIB, "MiB": MIB, "KiB": KIB, "bytes": 1}
_SIZE = r"([\d.]+) (GiB|MiB|KiB|bytes)"
_TRIED = re.compile(rf"Tried to allocate {_SIZE}")
_IN_USE = re.compile(rf"this process has {_SIZE} memory in use")
_ALLOCATED = re.compile(rf"{_SIZE} (?:is )?(?:already )?allocated")
_ON_HOST = re.compile(r"you tried to allocate (\d+) bytes")


def card_bytes(text: str) -> int:
    """What the card would have had to hold: in use by this process, and what it wanted more; 0 where nobody says.

    The words are those of torch's CUDA allocator, old and new.
    """
    tried = _first(_TRIED, text)
    held = _first(_IN_USE, text) or _first(_ALLOCATED, text)
    return held + tried if tried else 0


def host_bytes(text: str) -> int:
    """The one allocation that the host refused; 0 where nobody says."""
    match = _ON_HOST.search(text)
    return int(match[1]) if match else 0


def _first(pattern: re.Pattern[str], text: str) -> int:
    match = pattern.search(text)
    return round(float(match[1]) * _UNITS[match[2]]) if match else 0
