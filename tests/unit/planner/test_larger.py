from __future__ import annotations

from planning import machine

from tunekit.hardware.profiles import load_profile, profile_names
from tunekit.planner.larger import larger_machines, machine_change


def test_larger_machines_come_the_smallest_first_and_none_is_left_out() -> None:
    own = machine("quad_rtx4090")
    names = [each.name for each in larger_machines(own)]
    cards = [sum(gpu.usable_bytes for gpu in each.gpus) for each in larger_machines(own)]
    assert cards == sorted(cards)
    smaller = {name for name in profile_names() if sum(g.usable_bytes for g in load_profile(name).gpus) < 23 * 2**30}
    assert not smaller & set(names)
    assert {"8x_h100_80gb", "8x_a100_80gb"} <= set(names)
    assert "quad_rtx4090" not in names
    assert len(larger_machines(machine("single_rtx4090"))) > len(names)


def test_nothing_is_larger_than_the_largest() -> None:
    largest = larger_machines(machine("single_rtx4090"))[-1]
    assert larger_machines(largest) == ()


def test_the_change_says_what_stands_there() -> None:
    change = machine_change(machine("8x_a100_80gb"), last=False)
    assert change.typed == "hardware=8x_a100_80gb"
    assert change.note == "the smallest shipped machine that runs it: 8 x NVIDIA A100-SXM4-80GB, 1,152.0 GiB of RAM"
    assert machine_change(machine(), last=True).note.startswith("no change that was tried is enough here; the smallest")
