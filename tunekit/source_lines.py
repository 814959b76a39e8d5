"""A file of keys as it was read: plain values, and the line of every key, so that messages can say where."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceLines:
    """One mapping; `lines` maps dotted keys (elements of lists by number) to lines from 1."""

    file: str
    content: dict[str, Any]
    lines: Mapping[str, int]

    def where(self, key: str) -> str:
        """`file:line` of a dotted key, or of the nearest section above it; the file alone when nothing is known."""
        return place_of(key, file=self.file, lines=self.lines)


def place_of(key: str, *, file: str, lines: Mapping[str, int]) -> str:
    """`file:line` of a dotted key, or of the nearest section above it; the file alone when nothing is known."""
    while key and key not in lines:
        key = key.rpartition(".")[0]
    return f"{file}:{lines[key]}" if key else file
