"""A machine as text, and back."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.planning import laptop, machine
from tunekit.hardware.profile_file import hardware_from_yaml
from tunekit.hardware.profile_text import hardware_to_yaml
from tunekit.hardware.profiles import load_profile, profile_names
from tunekit.hardware.spec import Hardware, Measured


def again(box: Hardware) -> Hardware:
    return hardware_from_yaml(hardware_to_yaml(box), name=box.name, file="box.yaml")


@pytest.mark.parametrize("name", profile_names())
def test_every_shipped_machine_survives(name: str) -> None:
    assert again(load_profile(name)) == load_profile(name)


def test_a_machine_without_cards_survives() -> None:
    assert again(laptop(processes=3)) == laptop(processes=3)


def test_what_was_measured_survives_to_a_megabyte_per_second() -> None:
    measured = Measured(date="2026-11-22", matmul_tflops=151.1234, to_gpu_rate=12_345_000_000, adam_bf16_rate=2e9)
    assert again(replace(machine(), measured=measured)).measured == measured


def test_uneven_slots_survive() -> None:
    box = machine()
    assert box.link is not None
    uneven = replace(box.link, pcie_lanes=2, card_lanes=(16, 2))
    assert again(replace(box, link=uneven)).link == uneven


def test_cards_of_two_kinds_are_written_as_the_smaller() -> None:
    box = machine()
    small = replace(box.gpus[0], usable_bytes=box.gpus[0].usable_bytes // 2)
    assert again(replace(box, gpus=(box.gpus[0], small))).gpus == (small, small)


def test_a_full_machine_can_be_read_again() -> None:
    assert again(laptop(usable_ram_bytes=0)).host.usable_ram_bytes == 10**6


def test_the_head_is_a_comment() -> None:
    assert hardware_to_yaml(laptop(), head="one\ntwo\n").startswith("# one\n# two\ndescription: ")


def test_the_price_of_a_drive_survives() -> None:
    box = machine()
    assert again(replace(box, disks=(replace(box.disks[0], price=120.5),))).disks[0].price == 120.5
