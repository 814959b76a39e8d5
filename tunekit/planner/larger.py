"""Shipped machines that are larger than one, the smallest first, and the change to each of them."""

from __future__ import annotations

from tunekit.hardware.profiles import load_profile, profile_names
from tunekit.hardware.spec import Hardware
from tunekit.planner.change import Change
from tunekit.units import GIB, format_bytes

ELSEWHERE = 10.0
"""Harm of another machine: whoever asks has this one."""


def larger_machines(hardware: Hardware) -> tuple[Hardware, ...]:
    """Those with more memory on their cards, or as much and more RAM."""
    own = _size(hardware)[:2]
    return tuple(sorted((each for each in map(load_profile, profile_names()) if _size(each)[:2] > own), key=_size))


def machine_change(hardware: Hardware, *, last: bool) -> Change:
    """To this machine; `last` where nothing else was found."""
    cards = f"{len(hardware.gpus)} x {hardware.gpus[0].name}" if hardware.gpus else "no GPU"
    ram = format_bytes(hardware.host.ram_bytes // GIB * GIB)
    head = "no change that was tried is enough here; the smallest" if last else "the smallest"
    note = f"{head} shipped machine that runs it: {cards}, {ram} of RAM"
    return Change(settings=(("hardware", hardware.name),), harm=ELSEWHERE, note=note)


def _size(hardware: Hardware) -> tuple[int, int, str]:
    cards = sum(gpu.usable_bytes for gpu in hardware.gpus)
    return cards, hardware.host.usable_ram_bytes, hardware.name
