"""`Hardware` as a value."""

from __future__ import annotations

from dataclasses import FrozenInstanceError, replace

import pytest

from tests.plans import CPU_BOX, DUAL_4090


def test_one_process_per_card_or_as_many_as_planned() -> None:
    assert DUAL_4090.world_size == 2
    assert CPU_BOX.world_size == 2
    assert replace(CPU_BOX, cpu_processes=4).world_size == 4
    assert replace(DUAL_4090, cpu_processes=4).world_size == 2


def test_swapping_is_counted_with_the_drive_of_the_fastest_writes() -> None:
    slow, fast = (replace(CPU_BOX.disks[0], name=name, write_rate=rate) for name, rate in (("a", 1), ("b", 2)))
    assert replace(CPU_BOX, disks=(slow, fast, replace(fast, name="c"))).swap_disk == fast
    assert replace(CPU_BOX, disks=()).swap_disk is None


def test_it_cannot_be_changed() -> None:
    with pytest.raises(FrozenInstanceError):
        DUAL_4090.name = "other"  # type: ignore[misc]
