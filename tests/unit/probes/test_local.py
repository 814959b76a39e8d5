"""The machine at hand as a `Hardware`, from readings."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.fake_nvml import Card, FakeNvml
from tunekit.hardware.gpu_table import NVLINK_RATE
from tunekit.probes.gpus import GpuReport, read_gpus
from tunekit.probes.host import Drive, Memory
from tunekit.probes.local import Readings, describe_machine, probe_hardware
from tunekit.units import GIB, MIB

MEMORY = Memory(total=64 * GIB, available=40 * GIB, limit=None)
DRIVES = (Drive(path="/data", device=1, total=1000, free=800), Drive(path="/", device=2, total=10, free=5))


def readings(report: GpuReport) -> Readings:
    return Readings(
        report=report,
        shown=report.gpus,
        memory=MEMORY,
        cpu="a CPU",
        cores=8,
        drives=DRIVES,
        vector_bits=512,
        memlock_bytes=2**23,
    )


def probed(*cards: Card, peers: bool = False) -> Readings:
    return readings(read_gpus(FakeNvml(cards, peers=peers)))


def test_ram_that_may_be_locked_without_limit_is_noted() -> None:
    limited = probed(Card())
    assert not describe_machine(limited).host.memlock_unlimited
    assert describe_machine(replace(limited, memlock_bytes=None)).host.memlock_unlimited


def test_known_cards_get_the_tables_rates() -> None:
    machine = describe_machine(probed(Card(), Card(uuid="GPU-b")))
    assert machine.world_size == 2
    assert machine.host.vector_bits == 512
    assert [card.bf16_tflops for card in machine.gpus] == [165.2, 165.2]
    assert machine.gpus[0].usable_bytes == int(23.5 * GIB)
    assert machine.description.startswith("this machine: 2 x NVIDIA GeForce RTX 4090; a CPU, 8 cores, 64.0 GiB RAM")
    assert "NVML (driver 580.65.06)" in machine.source


def test_memory_that_others_hold_is_not_usable() -> None:
    (card,) = describe_machine(probed(Card(free=13 * GIB))).gpus
    assert card.usable_bytes == 13 * GIB
    assert card.memory_bytes == 24_564 * MIB


def test_the_power_limit_that_is_set_counts() -> None:
    (card,) = describe_machine(probed(Card(milliwatts=300_000))).gpus
    assert card.power_watts == 300


def test_the_slowest_link_counts() -> None:
    link = describe_machine(probed(Card(lanes=16), Card(lanes=4, generation=3), peers=True)).link
    assert link is not None
    assert (link.pcie_generation, link.pcie_lanes, link.p2p, link.nvlink) == (3, 4, True, False)
    assert (link.card_lanes, link.nvlink_rate) == ((16, 4), 0)


def test_nvlink_must_be_on_every_card() -> None:
    both = describe_machine(probed(Card(nvlink=1), Card(nvlink=1))).link
    one = describe_machine(probed(Card(nvlink=1), Card())).link
    assert both is not None
    assert one is not None
    assert (both.nvlink, one.nvlink) == (True, False)
    assert (both.nvlink_rate, one.nvlink_rate) == (NVLINK_RATE, 0)
    bridged = describe_machine(probed(*[Card(name="NVIDIA RTX A6000", total=49140 * MIB, nvlink=1)] * 2)).link
    assert bridged is not None
    assert bridged.nvlink_rate == 56_250_000_000


def test_an_unknown_card_is_planned_cautiously_and_says_so() -> None:
    card = Card(name="NVIDIA Mystery 9000", total=32 * GIB, free=32 * GIB, capability=(13, 0))
    machine = describe_machine(probed(card))
    assert machine.gpus[0].bf16_tflops == 30.0
    assert machine.gpus[0].usable_bytes == 32 * GIB - GIB // 2
    assert machine.gpus[0].compute_capability == 13.0
    assert "unknown card NVIDIA Mystery 9000: conservative 30 TFLOPS" in machine.source


def test_without_cards_two_processes_train_on_the_cpu() -> None:
    machine = describe_machine(readings(read_gpus(FakeNvml((), refuses=("nvmlInit",)))))
    assert (machine.gpus, machine.link, machine.cpu_processes, machine.world_size) == ((), None, 2, 2)
    assert "no NVIDIA driver answers" in machine.source
    assert "no GPU, 2 CPU processes" in machine.description


def test_ram_and_drives_are_what_is_free() -> None:
    machine = describe_machine(probed(Card()))
    assert machine.host.ram_bytes == 64 * GIB
    assert machine.host.usable_ram_bytes == 39 * GIB
    assert [(disk.name, disk.usable_bytes) for disk in machine.disks] == [("/data", 760), ("/", 4)]
    crowded = replace(probed(Card()), memory=replace(MEMORY, available=GIB // 2))
    assert describe_machine(crowded).host.usable_ram_bytes == 0


def test_the_real_probe_here(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "1")
    machine = probe_hardware(FakeNvml((Card(), Card(uuid="GPU-b", free=10 * GIB))))
    assert machine.name == "local"
    assert [card.usable_bytes for card in machine.gpus] == [10 * GIB]
    assert machine.host.cores >= 1
    assert machine.host.usable_ram_bytes > 0
    assert machine.disks
