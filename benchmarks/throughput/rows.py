"""Rows of a table of speeds, in the manner of `accuracy.rows`."""

from __future__ import annotations

import csv
import re
from dataclasses import dataclass
from pathlib import Path

from accuracy.rows import Row


@dataclass(frozen=True, slots=True, kw_only=True)
class SpeedRow(Row):
    """One measurement of speed; every cell stays text until it is asked for."""

    @property
    def name(self) -> str:
        """The row's own number."""
        return self.cells.get("id") or "?"

    @property
    def group(self) -> str:
        """The source: the repository or the page, without the file in it."""
        return re.split(r"[:;(]| README", self.cells.get("source") or "?")[0].strip() or "?"

    @property
    def evidence(self) -> str:
        """`measured`, or what else the source's figure is."""
        text = self.text("evidence")
        return "measured" if text.startswith("measured") and "vendor" not in text else text or "?"


def read_speed_rows(path: Path) -> list[SpeedRow]:
    """All rows of a CSV file."""
    with path.open(encoding="utf-8-sig", newline="", errors="replace") as file:
        return [SpeedRow(cells={key: value for key, value in record.items() if key}) for record in csv.DictReader(file)]
