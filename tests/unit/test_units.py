from __future__ import annotations

import pytest

from tunekit.units import (
    GB,
    GIB,
    MIB,
    format_bytes,
    format_count,
    format_figure,
    format_kwh,
    format_seconds,
    parse_count,
)


@pytest.mark.parametrize(
    ("count", "text"),
    [
        (7, "7 B"),
        (12 * 1024, "12 KiB"),
        (270 * MIB, "270 MiB"),
        (GIB * 3 // 2, "1.5 GiB"),
        (-2 * GIB, "-2.0 GiB"),
        (24 * GB, "22.4 GiB"),
        (1234 * GIB, "1,234.0 GiB"),
    ],
)
def test_bytes_are_binary_units(count: int, text: str) -> None:
    assert format_bytes(count) == text


@pytest.mark.parametrize(
    ("count", "text"), [(7, "7"), (12_000, "12.0 k"), (134_515_008, "134.5 M"), (33_743_970_304, "33.74 B")]
)
def test_counts_are_decimal(count: int, text: str) -> None:
    assert format_count(count) == text


@pytest.mark.parametrize(
    ("seconds", "text"), [(41.6, "42 s"), (59.6, "1 min 00 s"), (185.0, "3 min 05 s"), (7800.0, "2 h 10 min")]
)
def test_durations_are_rounded_to_what_is_read(seconds: float, text: str) -> None:
    assert format_seconds(seconds) == text


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("10M", 10_000_000),
        ("1.5B", 1_500_000_000),
        ("250 k", 250_000),
        ("2t", 2 * 10**12),
        ("10_000_000", 10_000_000),
        ("10,000", 10_000),
        ("0.0000011M", None),
        ("0.0015k", 2),
        ("7", 7),
        ("0", 0),
        ("-5", None),
        ("ten", None),
        ("1e6", None),
        ("10MB", None),
        ("", None),
        ("9" * 5000, None),
    ],
)
def test_counts_are_read_as_people_type_them(text: str, count: int | None) -> None:
    assert parse_count(text) == count


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.0, "0"),
        (0.00001, "under 0.001"),
        (0.0461, "0.046"),
        (1.2, "1.2"),
        (86.4, "86"),
        (99.6, "100"),
        (230.4, "230"),
        (1530.0, "1,530"),
        (2.3e7, "23,000,000"),
    ],
)
def test_figures_have_two_digits_and_no_powers_of_ten(value: float, text: str) -> None:
    assert format_figure(value) == text
    assert format_kwh(value) == f"{text} kWh"
