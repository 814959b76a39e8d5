"""What home builders warn about."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.planning import laptop, machine
from tunekit.hardware.checks import hardware_warnings, lane_warnings, power_words, ram_warnings, supply_warnings
from tunekit.hardware.profiles import load_profile, profile_names
from tunekit.hardware.spec import Hardware, Link, Power
from tunekit.units import GIB


def linked(*lanes: int, generation: int = 4) -> Hardware:
    link = Link(pcie_generation=generation, pcie_lanes=min(lanes), nvlink=False, p2p=False)
    return replace(machine(), link=replace(link, card_lanes=lanes if len(set(lanes)) > 1 else ()))


def test_x16_and_x2_instead_of_x8_and_x8() -> None:
    (said,) = lane_warnings(linked(16, 2))
    assert "x16 + x2: PCIe 4.0 x2 carries 3.9 GB/s each way" in said
    assert "x8 for each card is faster" in said
    assert "x8 for each card" not in "".join(lane_warnings(linked(8, 4)))


def test_narrow_slots_of_all_cards() -> None:
    (said,) = lane_warnings(linked(4, 4, generation=3))
    assert said.startswith("PCIe 3.0 x4 carries 3.9 GB/s each way: offload and sharding wait for it")


@pytest.mark.parametrize("lanes", [(8, 8), (16, 8), (16,)])
def test_eight_lanes_are_enough(lanes: tuple[int, ...]) -> None:
    assert list(lane_warnings(linked(*lanes))) == []


@pytest.mark.parametrize(("ram", "said"), [(64, True), (90, True), (94, False), (192, False)])
def test_ram_of_twice_the_cards(ram: int, said: bool) -> None:
    # 96 GB as sold are 94 GiB as seen.
    assert bool(list(ram_warnings(machine(ram_bytes=ram * GIB)))) is said


def test_the_words_about_ram_have_the_numbers() -> None:
    (said,) = ram_warnings(machine(ram_bytes=62 * GIB))
    assert said.startswith("62.0 GiB of RAM are less than twice the 48.0 GiB of the cards")
    assert "about 96 GiB" in said


def supplied(watts: int | None) -> Hardware:
    return replace(machine(), power=Power(host_watts=250, load_watts=1000, supply_watts=watts))


def test_a_supply_without_room_for_two_cards() -> None:
    (said,) = supply_warnings(supplied(1000))
    assert "2 x 450 W of cards and 250 W of host are 1,150 W in one moment, the power supply gives 1,000 W" in said
    assert said.endswith("limit the cards (nvidia-smi -pl 370).")
    (small,) = supply_warnings(supplied(600))
    assert small.endswith("it needs a larger one.")


@pytest.mark.parametrize("watts", [1150, 1600, None])
def test_a_supply_with_room_or_unknown(watts: int | None) -> None:
    assert list(supply_warnings(supplied(watts))) == []


def test_a_machine_without_cards_is_never_warned_about() -> None:
    assert hardware_warnings(laptop(ram_bytes=GIB)) == ()


def test_which_shipped_machines_are_warned_about() -> None:
    warned = {name: len(hardware_warnings(load_profile(name))) for name in profile_names()}
    assert {name for name, count in warned.items() if count} == {"8x_a100_80gb", "dual_rtx3090"}


def test_watts_in_words() -> None:
    assert power_words(supplied(1200)) == "1,000 W at the wall while training, peaks of 1,150 W, supply 1,200 W"
    assert power_words(machine()).endswith("supply not recorded")
    assert power_words(replace(machine(), power=None)).startswith("not recorded; peaks of 1,150 W with 250 W assumed")
