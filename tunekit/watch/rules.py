"""Rules over one look at the machine, each against its limit in the recipe's `watch` section."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from tunekit.hardware.spec import Link
from tunekit.recipe.schema import WatchSection
from tunekit.units import GIB, MIB, format_bytes
from tunekit.watch.findings import Finding
from tunekit.watch.sample import DriveSample, GpuSample, Sample
from tunekit.watch.throttling import ALWAYS_TROUBLE, POWER_CAP, cooler_watts, cure, reasons, set_limit

RAM = "ram"
"""The rule of a host whose memory is about to run out."""
BUSY_PERCENT = 50
"""A card that computes less than this is not under load: its link and its clocks rest."""
MARGIN_BYTES = 64 * MIB
"""Left for logs when a last checkpoint is saved on a drive that is nearly full."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What is held against a look: the recipe's limits, the planned link, and the bytes of one more checkpoint."""

    watch: WatchSection
    link: Link | None = None
    checkpoint_bytes: int = 0


def find(sample: Sample, limits: Limits) -> tuple[Finding, ...]:
    """Everything that should not be."""
    found = [finding for gpu in sample.gpus for finding in _of_card(gpu, limits)]
    found += _lost(sample)
    found += _memory(sample, limits)
    found += [finding for drive in sample.drives for finding in _drive(drive, limits)]
    return tuple(found)


def is_busy(gpu: GpuSample) -> bool:
    """Whether the card is under load."""
    return gpu.utilisation is not None and gpu.utilisation >= BUSY_PERCENT


def _of_card(gpu: GpuSample, limits: Limits) -> Iterator[Finding]:
    yield from _hot(gpu, limits.watch)
    yield from _throttled(gpu, limits.watch)
    yield from _narrow(gpu, limits)


def _hot(gpu: GpuSample, watch: WatchSection) -> Iterator[Finding]:
    if watch.gpu_temperature is not None and gpu.celsius is not None and gpu.celsius > watch.gpu_temperature:
        yield Finding(
            rule="temperature",
            place=f"GPU {gpu.index}",
            text=f"GPU {gpu.index} is at {gpu.celsius} °C (watch.gpu_temperature is {watch.gpu_temperature})",
            todo=set_limit(gpu, cooler_watts(gpu)),
        )


def _throttled(gpu: GpuSample, watch: WatchSection) -> Iterator[Finding]:
    """Heat and the power brake hold a card back, whatever its clock; the power limit only where the clock shows it."""
    if watch.gpu_clock_percent is None or not is_busy(gpu):
        return
    slow = bool(gpu.sm_clock and gpu.max_sm_clock) and _clock_percent(gpu) < watch.gpu_clock_percent
    if gpu.throttle & ALWAYS_TROUBLE or (gpu.throttle & POWER_CAP and slow):
        yield Finding(
            rule="throttling",
            place=f"GPU {gpu.index}",
            text=f"GPU {gpu.index} is held back by {' and '.join(reasons(gpu.throttle))}{_state(gpu)}",
            todo=cure(gpu),
        )


def _clock_percent(gpu: GpuSample) -> float:
    return 100 * (gpu.sm_clock or 0) / (gpu.max_sm_clock or 1)


def _state(gpu: GpuSample) -> str:
    known = [f"{gpu.sm_clock} of {gpu.max_sm_clock} MHz"] if gpu.sm_clock and gpu.max_sm_clock else []
    known += [f"{gpu.celsius} °C"] if gpu.celsius is not None else []
    known += [f"{gpu.watts:.0f} of {gpu.limit_watts:.0f} W"] if gpu.watts and gpu.limit_watts else []
    return f": {', '.join(known)}" if known else ""


def _narrow(gpu: GpuSample, limits: Limits) -> Iterator[Finding]:
    """An idle card rests on a lower generation: only a busy one is judged."""
    link, percent = limits.link, limits.watch.pcie_percent
    if link is None or percent is None or not is_busy(gpu) or not gpu.pcie_generation or not gpu.pcie_lanes:
        return
    if link_speed(gpu.pcie_generation, gpu.pcie_lanes) < percent / 100 * link_speed(
        link.pcie_generation, link.pcie_lanes
    ):
        yield Finding(
            rule="pcie",
            place=f"GPU {gpu.index}",
            text=f"GPU {gpu.index} runs on PCIe {gpu.pcie_generation}.0 x{gpu.pcie_lanes} under load; the plan "
            f"reckons with {link.pcie_generation}.0 x{link.pcie_lanes}",
            todo="look at slot, riser and the board's lane table; `tunekit probe` measures the link",
        )


def link_speed(generation: int, lanes: int) -> float:
    """Transfers of a link beside those of one lane of generation 1: each generation doubles them (PCI-SIG)."""
    return float(lanes * 2**generation)


def _lost(sample: Sample) -> Iterator[Finding]:
    for index, words in (sample.lost or {}).items():
        yield Finding(
            rule="lost card",
            place=f"GPU {index}",
            text=f"GPU {index} no longer answers the driver ({words})",
            todo="`sudo dmesg | grep Xid` says why; power, riser or heat; a reboot brings it back",
        )


def _memory(sample: Sample, limits: Limits) -> Iterator[Finding]:
    """RAM that can be had and swap: when both are gone the kernel kills."""
    host, least = sample.host, limits.watch.ram_free_gib
    if host is None or least is None:
        return
    left = host.available_bytes + host.swap_free_bytes
    if left < least * GIB:
        where = "the cgroup" if host.cgroup_limit_bytes is not None else "this machine"
        yield Finding(
            rule=RAM,
            place="host",
            text=f"{format_bytes(left)} of RAM and swap left in {where} of {format_bytes(host.total_bytes)}: "
            f"below watch.ram_free_gib ({least:g})",
            todo="close other programs, add swap, or offload less",
            stops=True,
        )


def _drive(drive: DriveSample, limits: Limits) -> Iterator[Finding]:
    least = limits.watch.disk_free_gib
    if least is None:
        return
    kept = limits.checkpoint_bytes if drive.purpose == "output" else 0
    if drive.free_bytes < least * GIB + kept:
        beside = f" beside a checkpoint of {format_bytes(kept)}" if kept else ""
        yield Finding(
            rule="disk",
            place=drive.purpose,
            text=f"{format_bytes(drive.free_bytes)} left on the drive of {drive.path} "
            f"(watch.disk_free_gib is {least:g}{beside})",
            todo="free space there",
            stops=True,
            saves=drive.purpose != "output" or 0 < kept < drive.free_bytes - MARGIN_BYTES,
        )
