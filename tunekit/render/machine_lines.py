"""What the machine does while a run goes on, beside what the plan reckons with: a line per card, one for the rest."""

from __future__ import annotations

from tunekit.launcher.progress import Progress
from tunekit.planner.plan import Plan
from tunekit.units import format_bytes
from tunekit.watch.rules import is_busy
from tunekit.watch.sample import DriveSample, GpuSample, HostSample
from tunekit.watch.throttling import ALWAYS_TROUBLE, reasons


def machine_lines(progress: Progress, plan: Plan) -> list[str]:
    """The newest look as lines of text; [] before the first."""
    sample = progress.sample
    if sample is None:
        return []
    rest = [_host(sample.host, plan)] if sample.host is not None else []
    rest += [_drive(drive) for drive in sample.drives]
    return [*(_card(gpu, plan) for gpu in sample.gpus), *(["   ".join(rest)] if rest else [])]


def _card(gpu: GpuSample, plan: Plan) -> str:
    planned = format_bytes(plan.memory.device.expected_bytes)
    parts = [f"GPU {gpu.index} plan {planned} | now {format_bytes(gpu.used_bytes)} of {format_bytes(gpu.total_bytes)}"]
    parts += [f"{gpu.utilisation} %"] if gpu.utilisation is not None else []
    parts += [f"{gpu.celsius} °C"] if gpu.celsius is not None else []
    parts += [_power(gpu)] if gpu.watts is not None else []
    parts += [f"{gpu.sm_clock} MHz"] if gpu.sm_clock is not None else []
    parts += [_link(gpu, plan)] if gpu.pcie_lanes is not None and gpu.pcie_generation is not None else []
    parts += [f"held back by {' and '.join(reasons(gpu.throttle))}"] if gpu.throttle & ALWAYS_TROUBLE else []
    return "  ".join(parts)


def _power(gpu: GpuSample) -> str:
    limit = f" of {gpu.limit_watts:.0f}" if gpu.limit_watts else ""
    return f"{gpu.watts:.0f}{limit} W"


def _link(gpu: GpuSample, plan: Plan) -> str:
    """An idle card rests on a lower generation: beside the plan only while it is busy."""
    now = f"PCIe {gpu.pcie_generation}.0 x{gpu.pcie_lanes}"
    link = plan.hardware.link
    if (
        link is None
        or not is_busy(gpu)
        or (link.pcie_generation, link.pcie_lanes)
        == (
            gpu.pcie_generation,
            gpu.pcie_lanes,
        )
    ):
        return now
    return f"{now} (plan {link.pcie_generation}.0 x{link.pcie_lanes})"


def _host(host: HostSample, plan: Plan) -> str:
    planned = format_bytes(plan.memory.host.expected_bytes)
    where = "cgroup" if host.cgroup_limit_bytes is not None else "RAM"
    text = f"{where} plan {planned} | now {format_bytes(host.used_bytes)} of {format_bytes(host.total_bytes)} in use"
    swapped = host.swap_total_bytes - host.swap_free_bytes
    return f"{text}, {format_bytes(swapped)} of swap" if swapped > 0 else text


def _drive(drive: DriveSample) -> str:
    return f"{drive.purpose} drive {format_bytes(drive.free_bytes)} free"
