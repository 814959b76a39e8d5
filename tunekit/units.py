"""Bytes are integers inside and GiB in text; "GB" is written only where a vendor or a table says GB."""

from __future__ import annotations

import re
from decimal import Decimal

KIB = 2**10
MIB = 2**20
GIB = 2**30
GB = 10**9


def format_bytes(count: int) -> str:
    """Bytes as a person reads them: `1.5 GiB`, `270 MiB`, `12 KiB`, `7 B` (binary units)."""
    magnitude = abs(count)
    for size, unit, digits in ((GIB, "GiB", 1), (MIB, "MiB", 0), (KIB, "KiB", 0)):
        if magnitude >= size:
            return f"{count / size:,.{digits}f} {unit}"
    return f"{count} B"


def format_count(count: int) -> str:
    """A count of parameters or tokens: `33.7 B`, `135 M`, `12 k`, `7`."""
    for size, unit, digits in ((10**9, "B", 2), (10**6, "M", 1), (10**3, "k", 1)):
        if abs(count) >= size:
            return f"{count / size:.{digits}f} {unit}"
    return str(count)


def format_figure(value: float) -> str:
    """An estimate to two digits, whole from a hundred on: `0.046`, `1.2`, `86`, `1,530`; never in powers of ten."""
    if abs(value) >= 99.5:
        return f"{value:,.0f}"
    if 0 < abs(value) < 0.001:
        return "under 0.001"
    return f"{value:.2g}"


def format_kwh(kwh: float) -> str:
    """Energy as a person reads it: `0.86 kWh`, `1,530 kWh`."""
    return f"{format_figure(kwh)} kWh"


def parse_count(text: str) -> int | None:
    """A count as a person types it: `10M`, `1.5B`, `250k`, `10_000_000`; None where it is none."""
    typed = re.fullmatch(r"(\d[\d_,]{0,17}(?:\.\d{1,6})?) ?([kmbt]?)", text.strip(), re.ASCII | re.IGNORECASE)
    if typed is None:
        return None
    number, unit = re.sub("[_,]", "", typed[1]), typed[2].lower()
    return round(Decimal(number).scaleb(3 * " kmbt".index(unit or " ")))


def format_seconds(seconds: float) -> str:
    """A duration: `42 s`, `3 min 05 s`, `2 h 10 min`."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    minutes, rest = divmod(whole, 60)
    if minutes < 60:
        return f"{minutes} min {rest:02d} s"
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02d} min"
