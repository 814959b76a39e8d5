"""JSON files that another process is writing: whole lines only, broken ones skipped, never an exception."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

Record = dict[str, Any]

_WHOLE = frozenset({"step", "max_steps", "gpu_bytes", "host_bytes"})
_NUMBERS = frozenset({"loss", "eval_loss", "tokens_per_second", "seconds", "time"})
"""Fields of metrics.jsonl and events.jsonl that are read as numbers; a line where one is not is as good as broken."""


class JsonLines:
    """Follows a .jsonl file: `new()` returns the records that were completed since the last call."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._offset = 0

    def new(self) -> list[Record]:
        """Records of the lines that end in a newline and were not returned before; [] while there is no file."""
        try:
            with self.path.open("rb") as file:
                file.seek(self._offset)
                whole, _, _ = file.read().rpartition(b"\n")
        except OSError:
            return []
        if not whole:
            return []
        self._offset += len(whole) + 1
        records = (_record(line) for line in whole.split(b"\n"))
        return [record for record in records if record is not None and _is_sound(record)]


def read_lines(path: Path) -> list[Record]:
    """All whole records of a .jsonl file."""
    return JsonLines(path).new()


def read_record(path: Path) -> Record | None:
    """The object in a .json file, or None where it is missing or not (yet) whole."""
    try:
        return _record(path.read_bytes())
    except OSError:
        return None


def _is_sound(record: Record) -> bool:
    whole = all(type(record[name]) is int for name in _WHOLE & record.keys())
    return whole and all(type(record[name]) in (int, float) for name in _NUMBERS & record.keys())


def _record(text: bytes) -> Record | None:
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None
