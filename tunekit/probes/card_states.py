"""The cards as they are now, for the doctor: free memory, who holds the rest, temperature; through NVML, no torch."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

from tunekit.doctor.readings import Card, Cards, Holder
from tunekit.probes.gpus import GpuReading, read_gpus, visible_gpus, visible_here

Value = TypeVar("Value")

NVIDIA, DISPLAY = "0x10de", "0x03"
"""Vendor and class on the PCI bus."""


def read_cards(nvml: Any = None, *, bus: Path = Path("/sys/bus/pci/devices")) -> Cards:
    """Everything the doctor asks of the cards that may be used. Never raises; `nvml` as in `read_gpus`."""
    report = read_gpus(nvml)
    shown = visible_gpus(report.gpus, visible_here())
    cards = tuple(_with_states(nvml if nvml is not None else _library(), shown)) if shown else ()
    return Cards(
        shown=cards,
        uuids=report.uuids,
        driver=report.driver,
        peers=report.p2p,
        missing=report.missing or "",
        on_the_bus=cards_on_the_bus(bus),
    )


def cards_on_the_bus(bus: Path) -> int:
    """NVIDIA's display controllers, whether a driver answers for them or not."""
    return sum(
        _text(device / "vendor") == NVIDIA and _text(device / "class").startswith(DISPLAY) for device in bus.glob("*")
    )


def is_orphan(pid: int, name: str, *, proc: Path = Path("/proc")) -> bool:
    """A Python process whose parent is gone. Services have the same parent, but lead a session of their own."""
    words = _text(proc / str(pid) / "stat").rpartition(")")[2].split()
    if len(words) < 4 or not name.startswith("python"):
        return False
    parent, session = int(words[1]), int(words[3])
    return parent == 1 and session != pid


def _with_states(nvml: Any, shown: tuple[GpuReading, ...]) -> Iterator[Card]:
    nvml.nvmlInit()
    try:
        for gpu in shown:
            yield _card(nvml, gpu)
    finally:
        nvml.nvmlShutdown()


def _card(nvml: Any, gpu: GpuReading) -> Card:
    handle = nvml.nvmlDeviceGetHandleByIndex(gpu.index)
    degrees = _told(nvml, lambda: int(nvml.nvmlDeviceGetTemperature(handle, nvml.NVML_TEMPERATURE_GPU)))
    running = _told(nvml, lambda: tuple(nvml.nvmlDeviceGetComputeRunningProcesses(handle))) or ()
    return Card(
        index=gpu.index,
        name=gpu.name,
        total_bytes=gpu.total_bytes,
        free_bytes=gpu.free_bytes,
        compute_capability=gpu.compute_capability,
        power_watts=gpu.power_watts,
        temperature=degrees,
        lanes=gpu.pcie_lanes,
        generation=gpu.pcie_generation,
        holders=tuple(_holder(process) for process in running if process.pid != os.getpid()),
    )


def _holder(process: Any) -> Holder:
    name = _text(Path("/proc") / str(process.pid) / "comm") or "a process of another user or container"
    return Holder(pid=process.pid, name=name, bytes=process.usedGpuMemory, orphan=is_orphan(process.pid, name))


def _told(nvml: Any, ask: Callable[[], Value]) -> Value | None:
    try:
        return ask()
    except nvml.NVMLError:
        return None


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace").strip()
    except OSError:
        return ""


def _library() -> Any:
    import pynvml

    return pynvml
