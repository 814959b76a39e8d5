"""Kinds of values in a hardware file."""

from __future__ import annotations

from datetime import date
from typing import Any

import pytest

from tunekit.hardware.profile_keys import DISK, HOST, LINK, MEASURED, OPTIONAL, POWER, PRICE, Kind, is_kind, required


@pytest.mark.parametrize(
    ("value", "kind"),
    [
        (8, "count"),
        (8, "counts"),
        ([16, 4], "counts"),
        (0.5, "amount"),
        (False, "flag"),
        (date(2026, 7, 31), "date"),
        ("2026-07", "date"),
        ("2026-07-31", "date"),
        ({}, "section"),
        ([], "list"),
        ("", "text"),
    ],
)
def test_what_may_stand(value: Any, kind: Kind) -> None:
    assert is_kind(value, kind)


@pytest.mark.parametrize(
    ("value", "kind"),
    [
        (True, "count"),
        (0, "count"),
        ([], "counts"),
        ([16, 0], "counts"),
        ("16+4", "counts"),
        (True, "amount"),
        (float("nan"), "amount"),
        (1, "flag"),
        ("2026-13", "date"),
        ("2026-02-30", "date"),
        ("July 2026", "date"),
        (2026, "date"),
        ([], "section"),
        (3, "text"),
    ],
)
def test_what_may_not(value: Any, kind: Kind) -> None:
    assert not is_kind(value, kind)


def test_files_written_before_the_newer_keys_stay_whole() -> None:
    assert required(LINK) == ("pcie_generation", "pcie_lanes", "nvlink", "p2p")
    assert required(HOST) == ("cpu", "cores", "ram_gib", "usable_ram_gb", "ram_bandwidth_gb")
    assert required(DISK) == ("name", "total_gb", "usable_gb", "read_gb", "write_gb")
    assert (required(POWER), required(PRICE)) == (("host_watts",), ("amount", "currency", "date"))
    assert required(MEASURED) == ("date",)
    assert set(MEASURED) - {"date"} <= OPTIONAL
