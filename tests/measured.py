"""measured.json as the worker writes it, made by hand."""

from __future__ import annotations

from typing import Any

from tunekit.units import GIB, MIB


def a_rank(
    *,
    rank_bytes: int = 700 * MIB,
    context: int = 0,
    other: int = 0,
    allocated: int = 0,
    reserved: int = 0,
    rank: int = 0,
) -> dict[str, Any]:
    """One rank with a load and a step; `other` is what a card holds in a step beside the allocator."""
    card = {"device_allocated_bytes": allocated, "device_reserved_bytes": reserved, "device_other_bytes": other}
    return {
        "rank": rank,
        "start": {"host_bytes": rank_bytes, "device_other_bytes": context},
        "phases": {
            "load": {**dict.fromkeys(card, 0), "host_bytes": GIB, "seconds": 1.0},
            "step": {**card, "host_bytes": 2 * GIB, "seconds": 2.0},
        },
        "shards": {},
    }


def a_measurement(*ranks: dict[str, Any], machine: str = "a machine") -> dict[str, Any]:
    """The whole record."""
    return {"engine": {}, "machine": machine, "ranks": list(ranks), "swap_bytes": 0, "expected": []}
