"""How long the rows of a measurement were: what its table says, what its program does, and what its data are like."""

from __future__ import annotations

import re

from accuracy.habits import Habits
from accuracy.rows import Row

_REACH = 4.5
"""The longest of many rows against their mean: the 98th percentile of a log-normal spread of 1."""


def packs(row: Row, habits: Habits) -> bool:
    """Whether rows are put together until they have one length."""
    return habits.packs or "packed" in _semantics(row) or "packing on" in _semantics(row)


def longest(row: Row, habits: Habits) -> int | None:
    """Tokens of the longest row on one device: the maximum, or less where rows are known to be much shorter."""
    length = row.whole("seq_len") or habits.length
    if length is None:
        return None
    mean = _known_mean(row, habits)
    if mean and not packs(row, habits):
        length = min(length, round(_REACH * mean))
    return max(1, length // _shares_of_a_row(row))


def mean_length(row: Row, habits: Habits) -> int:
    """Mean tokens of rows whose lengths change from step to step, 0 where they do not."""
    if not habits.varies or packs(row, habits) or "fixed" in _semantics(row):
        return 0
    return _known_mean(row, habits) or longest(row, habits) or 0


def splits_rows(row: Row) -> bool:
    """Whether devices share each row (sequence parallel)."""
    return _shares_of_a_row(row) > 1


def _shares_of_a_row(row: Row) -> int:
    told = re.search(r"sequence parallel (\d+)", row.text("parallelism"))
    if told:
        return int(told.group(1))
    return (row.whole("n_gpus") or 1) if "sequence_parallel" in row.text("source_path") else 1


def _known_mean(row: Row, habits: Habits) -> int | None:
    told = re.search(r"mean (\d+) tokens", _semantics(row))
    if told:
        return int(told.group(1))
    return habits.mean_length if "much shorter" in _semantics(row) else None


def _semantics(row: Row) -> str:
    return row.text("seq_semantics").replace("unless packed", "")
