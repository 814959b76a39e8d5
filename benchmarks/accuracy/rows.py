"""Rows of a table of measurements, read without ever failing on a cell."""

from __future__ import annotations

import csv
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from tunekit.units import GIB

UNITS: dict[str, float] = {"bytes": 1, "1e9": 1e9, "2^30": GIB, "2^20": 2**20, "1e6": 1e6}
_PRINTED: dict[str, float] = {"b": 1, "bytes": 1, "mb": 2**20, "mib": 2**20, "gb": GIB, "gib": GIB, "g": GIB}
"""Units as printed, where what they really are is unknown: tools that print memory divide by powers of two."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One measurement; every cell stays text until it is asked for."""

    cells: Mapping[str, str]

    def text(self, key: str) -> str:
        """The cell in lower case without blanks at its ends, empty where the column is missing."""
        return (self.cells.get(key) or "").strip().lower()

    def number(self, key: str) -> float | None:
        """The first number of a cell, or None."""
        found = re.search(r"-?\d+(?:\.\d+)?(?:e[+-]?\d+)?", self.text(key).replace(",", ""))
        return float(found.group()) if found else None

    def whole(self, key: str) -> int | None:
        """The first number of a cell as a whole one above zero, or None."""
        value = self.number(key)
        return int(value) if value is not None and 1 <= value < 1e15 else None

    @property
    def name(self) -> str:
        """The row's own name."""
        return self.cells.get("row_id") or "?"

    @property
    def group(self) -> str:
        """The source: the name up to its number."""
        return re.sub(r"[-_ ]*\d*$", "", self.name) or "?"

    @property
    def measured_bytes(self) -> int | None:
        """The memory that was read, in bytes, or None."""
        value = self.number("gpu_mem_value")
        if value is None or value <= 0:
            return None
        unit = UNITS.get(self.text("unit_base")) or _PRINTED.get(self.text("gpu_mem_unit"))
        if unit:
            return round(value * unit)
        gib = self.number("gpu_mem_gib")
        return round(gib * GIB) if gib else None

    @property
    def outcome(self) -> str:
        """`ok`, `oom` or what the cell says."""
        return self.text("outcome")


def read_rows(path: Path) -> list[Row]:
    """All rows of a CSV file."""
    with path.open(encoding="utf-8-sig", newline="", errors="replace") as file:
        return [Row(cells={key: value for key, value in record.items() if key}) for record in csv.DictReader(file)]
