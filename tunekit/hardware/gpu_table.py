"""The cards that are known by name, and what is assumed of those that are not."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from tunekit.hardware.spec import Gpu
from tunekit.units import GB, GIB, MIB

_FILE = Path(__file__).with_name("gpus.yaml")
UNKNOWN_TFLOPS = 30.0
"""Assumed dense 16-bit peak of a card that is not in the table: less than any card of 2020 or later with 16 GB."""
UNKNOWN_BANDWIDTH = 300 * GB
NVLINK_RATE = 56 * GB
"""Of a card that is not in the table, one way: the bridge of the 3090, the slowest since 2020."""
CONTEXT_BYTES = GIB // 2
"""What the driver and torch keep of a card that is not in the table."""


@dataclass(frozen=True, slots=True, kw_only=True)
class KnownGpu:
    """A card of the table, what it is recognised by, and how it is joined to others."""

    gpu: Gpu
    match: tuple[str, ...]
    """Parts of the name that NVML reports."""
    sold_as: tuple[str, ...]
    """Names in price lists."""
    soldered: bool
    """On a board that joins all its cards by NVLink (SXM), not in a slot."""
    pcie_generation: int
    nvlink_rate: int
    """Bytes per second one way where NVLink is fitted; 0 for cards without."""


@cache
def known_gpus() -> Mapping[str, KnownGpu]:
    """Every card of `gpus.yaml` by its short name."""
    loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    table: dict[str, dict[str, Any]] = yaml.load(_FILE.read_text(encoding="utf-8"), Loader=loader)
    return {name: _known(entry) for name, entry in table.items()}


def card_sold_as(name: str) -> str | None:
    """The short name of the card that a price list calls `name`; None for one that is not in the table."""
    return _sold().get(_letters(name))


@cache
def _sold() -> Mapping[str, str]:
    return {_letters(sold): name for name, known in known_gpus().items() for sold in known.sold_as}


def _letters(name: str) -> str:
    """Letters and digits alone: `RTX 4090` and `rtx_4090` are one name."""
    return "".join(letter for letter in name.casefold() if letter.isalnum())


def known_named(name: str) -> KnownGpu | None:
    """The card of the table with this name, however it is spaced and cased; None where there is none."""
    return next((card for known, card in known_gpus().items() if _letters(known) == _letters(name)), None)


def recognise(reported: Gpu) -> tuple[Gpu, bool]:
    """A card with the rates of the table, and whether the table has it.

    `reported` carries what the driver says: name, memory, capability, power. Its own memory stands; usable memory is
    the table's. A card that is not in the table keeps `reported`'s rates, which are meant to be conservative.
    """
    best = card_of(reported)
    if best is None:
        return reported, False
    rates = best.gpu
    usable = min(rates.usable_bytes, reported.memory_bytes)
    return replace(rates, name=reported.name, memory_bytes=reported.memory_bytes, usable_bytes=usable), True


def card_of(reported: Gpu) -> KnownGpu | None:
    """The card of the table that has the name and memory of `reported`."""
    candidates = [known for known in known_gpus().values() if _is_meant(known, reported)]
    return max(candidates, key=lambda known: sum(map(len, known.match)), default=None)


def unknown_gpu(*, name: str, memory_bytes: int, compute_capability: float, power_watts: int) -> Gpu:
    """A card with conservative rates, before it is recognised."""
    return Gpu(
        name=name,
        memory_bytes=memory_bytes,
        usable_bytes=max(0, memory_bytes - CONTEXT_BYTES),
        bf16_tflops=UNKNOWN_TFLOPS,
        memory_bandwidth=UNKNOWN_BANDWIDTH,
        compute_capability=compute_capability,
        power_watts=power_watts,
    )


def _is_meant(known: KnownGpu, reported: Gpu) -> bool:
    named = all(_has_word(reported.name, part) for part in known.match)
    return named and abs(known.gpu.memory_bytes - reported.memory_bytes) <= known.gpu.memory_bytes // 10


def _has_word(name: str, part: str) -> bool:
    # A10 is not A100, RTX 4080 is not RTX 4080 SUPER, RTX 3090 is not RTX 3090 Ti.
    found = re.search(rf"(?<![A-Za-z0-9]){re.escape(part)}(?![A-Za-z0-9])(?! (?:Ti|SUPER|Laptop|D)\b)", name, re.I)
    return found is not None


def _known(entry: Mapping[str, Any]) -> KnownGpu:
    return KnownGpu(
        gpu=_gpu(entry),
        match=tuple(entry["match"]),
        sold_as=tuple(entry["sold_as"]),
        soldered=entry["board"] == "sxm",
        pcie_generation=entry["pcie"],
        nvlink_rate=int(entry.get("nvlink_gb", 0) * GB),
    )


def _gpu(entry: Mapping[str, Any]) -> Gpu:
    return Gpu(
        name=entry["name"],
        memory_bytes=entry["memory_mib"] * MIB,
        usable_bytes=int(entry["usable_gib"] * GIB),
        bf16_tflops=entry["bf16_tflops"],
        memory_bandwidth=entry["memory_bandwidth_gb"] * GB,
        compute_capability=entry["compute_capability"],
        power_watts=entry["power_watts"],
    )
