"""A machine with what was measured in place of what was assumed."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from tests.planning import laptop, machine
from tunekit.hardware.probing import ASSUMED, Options, Outcome, measured_hardware
from tunekit.hardware.spec import Measured


def found(**rates: Any) -> Outcome:
    return Outcome(title="x", found={"note": "somehow", **rates})


def test_rates_of_every_measurement_are_taken() -> None:
    box = measured_hardware(
        machine(),
        [
            found(matmul_tflops=151.5),
            found(to_gpu_rate=12.6e9, from_gpu_rate=13e9, links=[[4, 8], [4, 8]], p2p=False, peer_rate=9e9),
            found(all_gather_rate=5.5e9, all_reduce_rate=6e9),
            found(adam_fp32_rate=1.1e9, adam_bf16_rate=2.2e9, adam="DeepSpeedCPUAdam"),
            found(ram_bandwidth=57e9),
            found(read_rate=6.1e9, write_rate=1.5e9),
        ],
        date="2026-11-22",
        drive="nvme2",
    )
    assert box.measured == Measured(
        date="2026-11-22",
        matmul_tflops=151.5,
        to_gpu_rate=12_600_000_000,
        from_gpu_rate=13_000_000_000,
        peer_rate=9_000_000_000,
        all_gather_rate=5_500_000_000,
        all_reduce_rate=6_000_000_000,
        adam_fp32_rate=1.1e9,
        adam_bf16_rate=2.2e9,
        adam="DeepSpeedCPUAdam",
    )
    assert box.host.ram_bandwidth == 57_000_000_000
    assert [disk.read_rate // 10**8 for disk in box.disks] == [50, 50, 61]
    assert box.disks[2].write_rate == 1_500_000_000
    assert box.link == machine().link
    assert box.source.endswith("; measured by tunekit hardware probe, 2026-11-22")


def test_links_are_those_under_load() -> None:
    box = measured_hardware(machine(), [found(links=[[4, 16], [3, 2]], p2p=True)], date="2026-11-22", drive=None)
    assert box.link is not None
    assert (box.link.pcie_generation, box.link.pcie_lanes, box.link.card_lanes) == (3, 2, (16, 2))
    assert box.link.p2p is True


def test_what_failed_changes_nothing() -> None:
    box = machine()
    failed = Outcome(title="RAM", found={}, missing="not done after 4 s")
    now = measured_hardware(box, [failed], date="2026-11-22", drive=None)
    assert (now.host, now.disks, now.link, now.measured) == (box.host, box.disks, box.link, None)


def test_what_was_measured_before_stays_where_nothing_new_was_found() -> None:
    before = replace(laptop(), measured=Measured(date="2026-01-01", adam_fp32_rate=1e9))
    now = measured_hardware(before, [found(matmul_tflops=1.5)], date="2026-11-22", drive=None)
    assert now.measured == Measured(date="2026-11-22", adam_fp32_rate=1e9, matmul_tflops=1.5)
    assert now.link is None


def test_measured_rates_are_no_longer_called_assumed() -> None:
    box = replace(laptop(), source=f"probed now{ASSUMED}: RAM 40 GB/s")
    part = measured_hardware(box, [found(ram_bandwidth=1e10)], date="2026-11-22", drive=None)
    whole = measured_hardware(box, [found(ram_bandwidth=1e10), found(read_rate=1e9)], date="2026-11-22", drive=None)
    assert ASSUMED in part.source
    assert whole.source == "probed now; measured by tunekit hardware probe, 2026-11-22"


def test_options_are_words_of_a_command_line() -> None:
    assert "--seconds=2.5" in Options(seconds=2.5).argv()
    assert "--adam-op=/x.so" in Options(adam_op="/x.so").argv()
