"""This machine as a `Hardware`: what is free now, not what the box says."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from tunekit.hardware.gpu_table import (
    CONTEXT_BYTES,
    NVLINK_RATE,
    UNKNOWN_BANDWIDTH,
    UNKNOWN_TFLOPS,
    card_of,
    recognise,
    unknown_gpu,
)
from tunekit.hardware.probing import ASSUMED
from tunekit.hardware.profiles import LOCAL
from tunekit.hardware.spec import Disk, Gpu, Hardware, Host, Link
from tunekit.probes.gpus import GpuReading, GpuReport, read_gpus, visible_gpus, visible_here
from tunekit.probes.host import (
    Drive,
    Memory,
    memlock_bytes,
    read_cores,
    read_cpu_name,
    read_drives,
    read_memory,
    read_vector_bits,
)
from tunekit.units import GB, GIB, format_bytes

CPU_PROCESSES = 2
RAM_BANDWIDTH = 40 * GB
"""Assumed until measured: dual-channel DDR4-3200 reaches about 40 of 51 GB/s."""
DISK_RATE = GB
"""Assumed until measured: an untuned NVMe drive, or a good SATA one, reaches 0.6 to 1 GB/s."""
_SPARE_RAM = GIB


@dataclass(frozen=True, slots=True, kw_only=True)
class Readings:
    """What the probes read: all cards, those that may be used, and the machine around them."""

    report: GpuReport
    shown: tuple[GpuReading, ...]
    memory: Memory
    cpu: str
    cores: int
    drives: tuple[Drive, ...]
    vector_bits: int
    memlock_bytes: int | None
    """None: there is no limit."""


def probe_hardware(nvml: Any = None) -> Hardware:
    """Look at this machine with psutil and NVML. `nvml` is a module with the functions of pynvml, for tests.

    Usable GPU memory is what is free now, at most what the table allows the card; usable RAM is what is available now
    within the cgroup, less 1 GiB. CUDA_VISIBLE_DEVICES is respected. Without cards, two CPU processes are planned.
    """
    report = read_gpus(nvml)
    readings = Readings(
        report=report,
        shown=visible_gpus(report.gpus, visible_here()),
        memory=read_memory(),
        cpu=read_cpu_name(),
        cores=read_cores(),
        drives=read_drives(),
        vector_bits=read_vector_bits(),
        memlock_bytes=memlock_bytes(),
    )
    return describe_machine(readings)


def describe_machine(readings: Readings) -> Hardware:
    """The readings of the probes as one value; pure."""
    cards = tuple(_gpu(reading) for reading in readings.shown)
    host = Host(
        cpu=readings.cpu,
        cores=readings.cores,
        ram_bytes=readings.memory.total,
        usable_ram_bytes=max(0, readings.memory.available - _SPARE_RAM),
        ram_bandwidth=RAM_BANDWIDTH,
        vector_bits=readings.vector_bits,
        memlock_unlimited=readings.memlock_bytes is None,
    )
    return Hardware(
        name=LOCAL,
        description=_description(cards, host),
        gpus=tuple(card for card, _ in cards),
        link=_link(readings, tuple(card for card, _ in cards)),
        host=host,
        disks=tuple(_disk(drive) for drive in readings.drives),
        cpu_processes=CPU_PROCESSES,
        source=_source(readings.report, cards),
    )


def _gpu(reading: GpuReading) -> tuple[Gpu, bool]:
    """The card with its rates, and whether they are known. Memory that others hold cannot be planned with."""
    reported = unknown_gpu(
        name=reading.name,
        memory_bytes=reading.total_bytes,
        compute_capability=reading.compute_capability,
        power_watts=reading.power_watts or 300,
    )
    card, known = recognise(reported)
    return replace(
        card,
        usable_bytes=min(card.usable_bytes, max(0, reading.free_bytes)),
        compute_capability=reading.compute_capability,
        power_watts=reading.power_watts or card.power_watts,
    ), known


def _link(readings: Readings, cards: tuple[Gpu, ...]) -> Link | None:
    """The slowest link counts: every collective waits for it."""
    shown = readings.shown
    if not shown:
        return None
    generations = [gpu.pcie_generation for gpu in shown if gpu.pcie_generation]
    lanes = tuple(gpu.pcie_lanes for gpu in shown if gpu.pcie_lanes)
    nvlink = len(shown) > 1 and all(gpu.nvlink for gpu in shown)
    return Link(
        pcie_generation=min(generations, default=3),
        pcie_lanes=min(lanes, default=8),
        nvlink=nvlink,
        p2p=len(shown) > 1 and readings.report.p2p,
        card_lanes=lanes if len(lanes) == len(shown) and len(set(lanes)) > 1 else (),
        nvlink_rate=min(map(_nvlink_rate, cards)) if nvlink else 0,
    )


def _nvlink_rate(card: Gpu) -> int:
    known = card_of(card)
    return (known.nvlink_rate if known else 0) or NVLINK_RATE


def _disk(drive: Drive) -> Disk:
    return Disk(
        name=drive.path,
        total_bytes=drive.total,
        usable_bytes=drive.free * 95 // 100,
        read_rate=DISK_RATE,
        write_rate=DISK_RATE,
    )


def _description(cards: tuple[tuple[Gpu, bool], ...], host: Host) -> str:
    machine = f"{host.cpu}, {host.cores} cores, {format_bytes(host.ram_bytes)} RAM"
    if not cards:
        return f"this machine: no GPU, {CPU_PROCESSES} CPU processes; {machine}"
    names = sorted({card.name for card, _ in cards})
    return f"this machine: {len(cards)} x {' / '.join(names)}; {machine}"


def _source(report: GpuReport, cards: tuple[tuple[Gpu, bool], ...]) -> str:
    """Where the numbers come from, and which are assumed."""
    parts = ["probed now: psutil" + (f", NVML (driver {report.driver})" if report.driver else "")]
    if report.missing and not cards:
        parts.append(report.missing)
    unknown = sorted({card.name for card, known in cards if not known})
    if unknown:
        spare, rate = format_bytes(CONTEXT_BYTES), f"{UNKNOWN_TFLOPS:g} TFLOPS, {UNKNOWN_BANDWIDTH // GB} GB/s"
        parts.append(f"unknown card {', '.join(unknown)}: conservative {rate}, {spare} kept back")
    return "; ".join(parts) + f"{ASSUMED}: RAM {RAM_BANDWIDTH // GB} GB/s, drives {DISK_RATE // GB} GB/s"
