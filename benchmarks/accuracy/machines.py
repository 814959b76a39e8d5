"""The cards that rows name, as the hardware the memory model takes."""

from __future__ import annotations

from accuracy.rows import Row
from tunekit.hardware.gpu_table import known_gpus, unknown_gpu
from tunekit.hardware.spec import Disk, Gpu, Hardware, Host
from tunekit.units import GIB, MIB

_DRIVER_BYTES = 600 * MIB
"""What the driver keeps of a card that is not in the table."""
_HOPPER = ("h100", "h200", "b200", "gh200", "h20")


def machine(row: Row, count: int) -> Hardware:
    """`count` cards as the row names them, in a host that never is the limit."""
    gpu = _gpu(row)
    return Hardware(
        name="row",
        description=row.text("gpu_type"),
        gpus=(gpu,) * count,
        link=None,
        host=Host(cpu="", cores=8, ram_bytes=2**44, usable_ram_bytes=2**44, ram_bandwidth=10**11),
        disks=(Disk(name="disk", total_bytes=2**50, usable_bytes=2**50, read_rate=10**9, write_rate=10**9),),
    )


def _gpu(row: Row) -> Gpu:
    name, size = row.text("gpu_type"), row.number("gpu_mem_gb")
    near = [known.gpu for known in known_gpus().values() if _called(known.match, name) and _as_large(known.gpu, size)]
    if near:
        return max(near, key=lambda gpu: gpu.memory_bytes)
    memory = round((size or 80.0) * GIB)
    capability = 9.0 if any(each in name for each in _HOPPER) else 8.0
    return unknown_gpu(name=name or "?", memory_bytes=memory, compute_capability=capability, power_watts=300)


def _called(match: tuple[str, ...], name: str) -> bool:
    words = f" {name.replace('-', ' ')} "
    return bool(name) and all(f" {part.lower()} " in words for part in match)


def _as_large(gpu: Gpu, size: float | None) -> bool:
    return size is None or abs(gpu.memory_bytes / GIB - size) <= 0.12 * size
