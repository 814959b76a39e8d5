"""The keys of a hardware file: what may stand in each section, and what must."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import date
from typing import Any, Literal

Kind = Literal["text", "count", "counts", "amount", "flag", "date", "section", "list"]

TOP: Mapping[str, Kind] = {
    "description": "text",
    "gpus": "section",
    "link": "section",
    "host": "section",
    "disks": "list",
    "power": "section",
    "price": "section",
    "measured": "section",
    "cpu_processes": "count",
    "source": "text",
}
GPUS: Mapping[str, Kind] = {
    "model": "text",
    "count": "count",
    "name": "text",
    "memory_mib": "amount",
    "usable_gib": "amount",
    "bf16_tflops": "amount",
    "memory_bandwidth_gb": "amount",
    "compute_capability": "amount",
    "power_watts": "amount",
}
LINK: Mapping[str, Kind] = {
    "pcie_generation": "count",
    "pcie_lanes": "counts",
    "nvlink": "flag",
    "nvlink_gb": "amount",
    "p2p": "flag",
}
HOST: Mapping[str, Kind] = {
    "cpu": "text",
    "cores": "count",
    "vector_bits": "count",
    "ram_gib": "amount",
    "usable_ram_gb": "amount",
    "ram_bandwidth_gb": "amount",
    "memlock_unlimited": "flag",
}
DISK: Mapping[str, Kind] = {
    "name": "text",
    "total_gb": "amount",
    "usable_gb": "amount",
    "read_gb": "amount",
    "write_gb": "amount",
    "endurance_tb": "amount",
    "price": "amount",
}
POWER: Mapping[str, Kind] = {"host_watts": "count", "load_watts": "count", "supply_watts": "count"}
PRICE: Mapping[str, Kind] = {"amount": "amount", "currency": "text", "date": "date", "note": "text"}
MEASURED: Mapping[str, Kind] = {
    "date": "date",
    "matmul_tflops": "amount",
    "to_gpu_gb": "amount",
    "from_gpu_gb": "amount",
    "peer_gb": "amount",
    "all_gather_gb": "amount",
    "all_reduce_gb": "amount",
    "adam_fp32_mparam": "amount",
    "adam_bf16_mparam": "amount",
    "adam": "text",
}
OPTIONAL = frozenset(
    {"nvlink_gb", "vector_bits", "memlock_unlimited", "endurance_tb", "price", "load_watts", "supply_watts", "note"}
    | (set(MEASURED) - {"date"})
)
"""Keys that a file may leave out; what stands in their place is in `hardware/README.md`."""

WORDS: Mapping[Kind, str] = {
    "text": "text",
    "count": "a whole number, 1 or more",
    "counts": "a whole number, 1 or more, or one for each card: [16, 4]",
    "amount": "a number above 0",
    "flag": "true or false",
    "date": "a day or month, such as 2026-07-31 or 2026-07",
    "section": "a section of `key: value` lines",
    "list": "a list of sections",
}


def required(keys: Mapping[str, Kind]) -> tuple[str, ...]:
    """The keys of a section that must be there."""
    return tuple(name for name in keys if name not in OPTIONAL)


def is_kind(value: Any, kind: Kind) -> bool:
    """Whether a value of the file is what its key asks for."""
    if kind == "count":
        return isinstance(value, int) and not isinstance(value, bool) and value >= 1
    if kind == "counts":
        return bool(value) and all(is_kind(each, "count") for each in (value if isinstance(value, list) else [value]))
    if kind == "amount":
        return isinstance(value, (int, float)) and not isinstance(value, bool) and 0 < value < float("inf")
    if kind == "date":
        return _is_day(value)
    kinds = {"flag": bool, "section": Mapping, "list": list, "text": str}
    return isinstance(value, kinds[kind])


def _is_day(value: Any) -> bool:
    # YAML reads a whole day as a date, a month as text.
    if isinstance(value, date) or not isinstance(value, str):
        return isinstance(value, date)
    if not re.fullmatch(r"\d{4}-\d\d(-\d\d)?", value):
        return False
    try:
        date.fromisoformat(value if len(value) == 10 else f"{value}-01")
    except ValueError:
        return False
    return True
