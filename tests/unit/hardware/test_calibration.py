from __future__ import annotations

from dataclasses import fields

import pytest

from tunekit.hardware.calibration import BOUNDS, MEANINGS, Calibration, fault_of
from tunekit.units import GIB, MIB

NAMES = set(BOUNDS)


def test_every_figure_has_bounds_and_a_meaning() -> None:
    assert set(MEANINGS) == NAMES == {field.name for field in fields(Calibration)} - {"machine", "date", "runs"}


def test_only_what_was_measured_is_a_figure() -> None:
    found = Calibration(machine="x", date="2026-01-01", runs=("a",), rank_bytes=GIB, packed_margin=0.0)
    assert found.figures == {"rank_bytes": GIB, "packed_margin": 0.0}


@pytest.mark.parametrize(
    ("name", "value"),
    [("rank_bytes", 700 * MIB), ("nccl_bytes", 0), ("packed_margin", 0.05), ("padded_margin", 0)],
)
def test_values_within_the_bounds(name: str, value: float) -> None:
    assert fault_of(name, value) is None


@pytest.mark.parametrize(
    ("name", "value", "part"),
    [
        ("rank_bytes", 9 * GIB, "allowed: a whole number of bytes from"),
        ("rank_bytes", 7.5e8, "a whole number of bytes"),
        ("rank_bytes", True, "rank_bytes is True"),
        ("context_bytes", "300 MiB", "'300 MiB'"),
        ("packed_margin", 0.31, "a share from 0 to 0.3"),
        ("packed_margin", float("nan"), "nan"),
        ("total_factor", 1.1, "is no figure; figures are context_bytes"),
    ],
)
def test_values_beyond_them_are_told(name: str, value: object, part: str) -> None:
    assert part in str(fault_of(name, value))
