"""A machine of the user's own, written as YAML: all faults at once, each with its line."""

from __future__ import annotations

import pytest

from tunekit.errors import RecipeError
from tunekit.hardware.gpu_table import NVLINK_RATE
from tunekit.hardware.power import wall_watts
from tunekit.hardware.profile_file import hardware_from_yaml
from tunekit.hardware.spec import Hardware, Measured, Power, Price
from tunekit.units import GB, GIB, MIB

HOST = """\
host:
  cpu: a CPU
  cores: 8
  ram_gib: 64
  usable_ram_gb: 60
  ram_bandwidth_gb: 40
"""
DISKS = "disks:\n  - {name: d, total_gb: 1000, usable_gb: 900, read_gb: 3, write_gb: 2.5}\n"
LINK = "link: {pcie_generation: 4, pcie_lanes: 8, nvlink: false, p2p: true}\n"
OWN_CARD = """\
gpus:
  count: 3
  name: My card
  memory_mib: 16000
  usable_gib: 15
  bf16_tflops: 50
  memory_bandwidth_gb: 500
  compute_capability: 8.9
  power_watts: 200
"""


def read(text: str) -> Hardware:
    return hardware_from_yaml(text, name="box", file="box.yaml")


def faults(text: str) -> list[str]:
    with pytest.raises(RecipeError) as caught:
        read(text)
    return [str(problem) for problem in caught.value.problems]


def test_a_machine_without_cards() -> None:
    box = read(HOST + DISKS + "cpu_processes: 3\n")
    assert (box.gpus, box.link, box.world_size, box.name, box.description) == ((), None, 3, "box", "box")
    assert box.host.ram_bytes == 64 * GIB
    assert box.host.usable_ram_bytes == 60 * GB
    assert box.disks[0].write_rate == 2_500_000_000


def test_the_right_to_lock_ram_may_be_said() -> None:
    assert not read(HOST + DISKS).host.memlock_unlimited
    assert read(HOST + "  memlock_unlimited: true\n" + DISKS).host.memlock_unlimited


def test_a_card_written_out() -> None:
    box = read(OWN_CARD + LINK + HOST + DISKS)
    assert len(box.gpus) == 3
    card = box.gpus[0]
    assert (card.name, card.memory_bytes, card.usable_bytes) == ("My card", 16000 * MIB, 15 * GIB)
    assert box.link is not None
    assert box.link.p2p is True


def test_a_known_card_with_one_number_changed() -> None:
    box = read("gpus: {model: rtx_4090, count: 2, usable_gib: 20.0}\n" + LINK + HOST + DISKS)
    assert box.gpus[1].usable_bytes == 20 * GIB
    assert box.gpus[1].bf16_tflops == 165.2


def test_lanes_of_each_card_where_they_differ() -> None:
    link = "link: {pcie_generation: 4, pcie_lanes: [16, 2, 16], nvlink: false, p2p: false}\n"
    box = read(OWN_CARD + link + HOST + DISKS)
    assert box.link is not None
    assert (box.link.pcie_lanes, box.link.card_lanes) == (2, (16, 2, 16))
    alike = read(OWN_CARD + link.replace(" 2,", " 16,") + HOST + DISKS).link
    assert alike is not None
    assert (alike.pcie_lanes, alike.card_lanes) == (16, ())
    assert (
        "box.yaml:10: link.pcie_lanes: 2 widths for 3 cards"
        in faults(OWN_CARD + link.replace(", 16]", "]") + HOST + DISKS)[0]
    )


def test_nvlink_has_the_rate_of_the_file_or_the_card_or_the_slowest_bridge() -> None:
    nvlink = LINK.replace("nvlink: false", "nvlink: true")
    a100 = "gpus: {model: a100_80gb, count: 2}\n"
    boxes = [
        read(cards + link + HOST + DISKS)
        for cards, link in (
            (a100, LINK),
            (a100, nvlink),
            (OWN_CARD, nvlink),
            (a100, nvlink.replace("true,", "true, nvlink_gb: 112,", 1)),
        )
    ]
    rates = [box.link.nvlink_rate // GB for box in boxes if box.link is not None]
    assert rates == [0, 300, NVLINK_RATE // GB, 112]


def test_power_and_price() -> None:
    box = read(HOST + DISKS)
    assert (box.power, box.price, box.measured, box.host.vector_bits) == (None, None, None, 256)
    assert box.disks[0].endurance_bytes is None
    whole = read(
        OWN_CARD
        + LINK
        + HOST
        + "  vector_bits: 512\n"
        + DISKS.replace("}", ", endurance_tb: 600, price: 120.5}")
        + "power: {host_watts: 100, supply_watts: 750}\n"
        + "price: {amount: 3000.5, currency: EUR, date: 2026-01-31, note: used}\n"
    )
    assert whole.host.vector_bits == 512
    assert whole.disks[0].endurance_bytes == 600 * 1000 * GB
    assert (box.disks[0].price, whole.disks[0].price) == (None, 120.5)
    assert (box.currency, whole.currency) == ("USD", "EUR")
    assert whole.power == Power(host_watts=100, load_watts=wall_watts(whole.gpus, 100), supply_watts=750)
    assert whole.price == Price(amount=3000.5, currency="EUR", date="2026-01-31", note="used")


def test_what_was_measured() -> None:
    box = read(HOST + DISKS + "measured: {date: 2026-11-22, to_gpu_gb: 12.5, adam_fp32_mparam: 800, adam: torch}\n")
    assert box.measured == Measured(date="2026-11-22", to_gpu_rate=12_500_000_000, adam_fp32_rate=800e6, adam="torch")


def test_every_fault_at_once_in_the_order_of_the_file() -> None:
    text = """\
descripton: x
gpus:
  model: rtx_409
  count: 0
link: {pcie_generation: four, pcie_lanes: 8, nvlink: no}
host:
  cores: 1.5
  ram_gib: 10
  usable_ram_gb: 50
disks:
  - name: a
    total_gb: -1
  - just a word
"""
    said = faults(text)
    assert len(said) == 14
    assert [line.split(": ")[0] for line in said] == sorted(
        (line.split(": ")[0] for line in said), key=lambda where: int(where.rpartition(":")[2])
    )
    assert said[0].startswith("box.yaml:1: descripton: unknown key; description, gpus, link")
    assert said[0].endswith("did you mean description?")
    assert "did you mean rtx_4090?" in said[1]
    assert "box.yaml:4: gpus.count: found 0; a whole number, 1 or more" in said
    assert "box.yaml:5: link.pcie_generation: found 'four'; a whole number, 1 or more" in said
    assert "box.yaml:9: host.usable_ram_gb: more than ram_gib; at most 11" in said
    assert "box.yaml:12: disks.0.total_gb: found -1; a number above 0" in said
    assert "box.yaml:13: disks.1: found 'just a word'; a section of `key: value` lines" in said


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (DISKS, "box.yaml: host: missing; a section of `key: value` lines"),
        (HOST, "box.yaml: disks: missing; at least one drive"),
        (OWN_CARD + HOST + DISKS, "box.yaml: link: missing; a section of `key: value` lines"),
        (OWN_CARD.replace("  power_watts: 200\n", "") + LINK + HOST + DISKS, "box.yaml:1: gpus.power_watts: missing"),
        (OWN_CARD.replace("15", "16") + LINK + HOST + DISKS, "box.yaml:5: gpus.usable_gib: more than memory_mib"),
        (HOST + DISKS.replace("900", "1100"), "disks.0.usable_gb: more than total_gb; at most 1000"),
        (HOST + DISKS.replace("900", "true"), "disks.0.usable_gb: found True; a number above 0"),
        (
            HOST + DISKS + "price: {amount: 5, currency: yuan, date: 2026-01}",
            "price.currency: found 'yuan'; three letters",
        ),
        (HOST + DISKS + "price: {amount: 5, currency: CNY}", "price.date: missing; a day or month"),
        (HOST + DISKS + "measured: {date: 2026-01-01, to_gpu: 3}", "did you mean to_gpu_gb?"),
        (HOST + DISKS.replace("900", ".inf"), "disks.0.usable_gb: found inf; a number above 0"),
    ],
)
def test_what_is_missing_or_impossible(text: str, said: str) -> None:
    assert any(said in line for line in faults(text)), faults(text)


@pytest.mark.parametrize("name", ["RTX 4090", "rtx4090", "rtx_4090"])
def test_a_card_may_be_spaced_and_cased_as_it_is_sold(name: str) -> None:
    box = read(f"gpus: {{model: {name}, count: 2}}\n{LINK}{HOST}{DISKS}")
    assert [gpu.name for gpu in box.gpus] == ["NVIDIA GeForce RTX 4090"] * 2


def test_a_count_that_is_no_number_is_one_fault_and_not_two() -> None:
    link = "link: {pcie_generation: 4, pcie_lanes: [16, 4], nvlink: false, p2p: true}\n"
    found = faults(f"gpus: {{model: rtx_4090, count: two}}\n{link}{HOST}{DISKS}")
    assert len(found) == 1
    assert "gpus.count" in found[0]
