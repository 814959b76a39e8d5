"""What the machine around the cards has: RAM within its cgroup, cores, drives, /dev/shm, lockable memory."""

from __future__ import annotations

import os
import resource
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

_NO_LIMIT = 2**60
"""cgroup v1 writes a number near 2^63 where there is no limit."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Memory:
    """RAM of this process's world, in bytes. `limit` is the cgroup's, or None; both first values respect it."""

    total: int
    available: int
    limit: int | None
    used: int | None = None
    """Of the limit, without cache that can be dropped; None where there is no limit."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Swap:
    """Swap of this machine, in bytes; the cgroup's own limit is respected."""

    total: int
    free: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Drive:
    """A mounted drive, in bytes."""

    path: str
    device: int
    total: int
    free: int


def read_memory(proc: Path = Path("/proc"), cgroups: Path = Path("/sys/fs/cgroup")) -> Memory:
    """RAM that exists and RAM that can be had without swapping, both cut to the cgroup's limit (v1 and v2)."""
    values = _meminfo(proc)
    total, available = values["MemTotal"], values.get("MemAvailable", values["MemFree"])
    limits = tuple(_cgroup_limits(proc, cgroups))
    limit, used = min(limits, default=(None, None))
    headroom = min((max(0, limit - used) for limit, used in limits), default=available)
    return Memory(total=min(total, limit or total), available=min(available, headroom), limit=limit, used=used)


def read_swap(proc: Path = Path("/proc"), cgroups: Path = Path("/sys/fs/cgroup")) -> Swap:
    """Swap that exists and that is free, both cut to what the cgroup (v2) allows: 0 where it forbids swapping."""
    values = _meminfo(proc)
    total, free = values.get("SwapTotal", 0), values.get("SwapFree", 0)
    for folder in _cgroup_folders(proc, cgroups):
        limit = _number(folder / "memory.swap.max")
        if limit is not None:
            total, free = min(total, limit), min(free, max(0, limit - (_number(folder / "memory.swap.current") or 0)))
    return Swap(total=total, free=free)


def read_cores() -> int:
    """Physical cores that this process may use, at least 1."""
    import psutil

    physical = psutil.cpu_count(logical=False) or psutil.cpu_count() or 1
    return max(1, min(physical, len(os.sched_getaffinity(0)), _cgroup_cpus()))


def read_cpu_name(proc: Path = Path("/proc")) -> str:
    """The processor's name as the kernel has it."""
    try:
        text = (proc / "cpuinfo").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return "unknown CPU"
    names = (line.partition(":")[2].strip() for line in text.splitlines() if line.startswith("model name"))
    return next(names, "unknown CPU")


def read_vector_bits(proc: Path = Path("/proc")) -> int:
    """Bits of the widest vector instructions that CPU Adam can be built for: 512, 256 or 128."""
    flags = next((line for line in _lines(proc / "cpuinfo") if line.startswith("flags")), "").split()
    return 512 if "avx512f" in flags else 256 if "avx2" in flags else 128


def read_drive(path: str | Path = ".") -> Drive:
    """The drive that holds `path`, or the nearest folder above it that exists."""
    folder = Path(path).expanduser().absolute()
    while not folder.exists():
        folder = folder.parent
    usage = shutil.disk_usage(folder)
    return Drive(path=str(folder), device=folder.stat().st_dev, total=usage.total, free=usage.free)


def read_drives(first: str | Path = ".") -> tuple[Drive, ...]:
    """The drive of `first`, then every other local drive of 50 GB or more."""
    import psutil

    drives = {read_drive(first).device: read_drive(first)}
    for partition in psutil.disk_partitions(all=False):
        if not Path(partition.mountpoint).is_dir() or not partition.device.startswith("/dev/"):
            continue
        drive = _drive_or_none(partition.mountpoint)
        if drive is not None and drive.total >= 50 * 10**9:
            drives.setdefault(drive.device, drive)
    return tuple(drives.values())


def drive_of(path: str | Path, names: tuple[str, ...]) -> str | None:
    """Which of the folders `names` lies on the drive that holds `path`; None for none of them."""
    device = read_drive(path).device
    return next((name for name in names if Path(name).exists() and Path(name).stat().st_dev == device), None)


def shm_free_bytes(path: Path = Path("/dev/shm")) -> int:
    """Free bytes of /dev/shm, which NCCL and data loaders use; 0 where there is none."""
    return shutil.disk_usage(path).free if path.is_dir() else 0


def memlock_bytes() -> int | None:
    """How much memory this process may lock (`ulimit -l`); None for no limit."""
    soft, _ = resource.getrlimit(resource.RLIMIT_MEMLOCK)
    return None if soft == resource.RLIM_INFINITY else soft


def address_space_bytes() -> int | None:
    """How much one process may map (`ulimit -v`); None for no limit."""
    soft, _ = resource.getrlimit(resource.RLIMIT_AS)
    return None if soft == resource.RLIM_INFINITY else soft


def _drive_or_none(path: str) -> Drive | None:
    try:
        return read_drive(path)
    except OSError:
        # A mount of another user, or one whose server is gone.
        return None


def _meminfo(proc: Path) -> dict[str, int]:
    lines = (line.split() for line in (proc / "meminfo").read_text(encoding="ascii").splitlines())
    return {words[0].rstrip(":"): int(words[1]) * 1024 for words in lines if len(words) > 1}


def _cgroup_limits(proc: Path, cgroups: Path) -> Iterator[tuple[int, int]]:
    """(limit, used) of every group from this process's own up to the root. Cache that can be dropped is not used."""
    for folder in _cgroup_folders(proc, cgroups):
        for limit_name, used_name, cache_name in (
            ("memory.max", "memory.current", "inactive_file"),
            ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"),
        ):
            limit = _number(folder / limit_name)
            if limit is not None and limit < _NO_LIMIT:
                used = (_number(folder / used_name) or 0) - _statistic(folder / "memory.stat", cache_name)
                yield limit, max(0, used)


def _cgroup_folders(proc: Path, cgroups: Path) -> Iterator[Path]:
    for line in _lines(proc / "self" / "cgroup"):
        _, controllers, own = line.split(":", 2)
        root = cgroups if not controllers else cgroups / "memory" if "memory" in controllers.split(",") else None
        if root is None:
            continue
        folder = root / own.lstrip("/")
        # Inside a container the path of the host may not be seen; then the root stands for the own group.
        yield from (folder, *(parent for parent in folder.parents if parent == root or root in parent.parents))


def _cgroup_cpus(cgroups: Path = Path("/sys/fs/cgroup")) -> int:
    """Whole CPUs of the cgroup's quota; many where there is none."""
    words = next(iter(_lines(cgroups / "cpu.max")), "max 100000").split()
    return max(1, round(int(words[0]) / int(words[1]))) if words[0] != "max" else 2**16


def _statistic(path: Path, name: str) -> int:
    values = (line.split() for line in _lines(path))
    return next((int(words[1]) for words in values if len(words) == 2 and words[0] == name), 0)


def _number(path: Path) -> int | None:
    text = next(iter(_lines(path)), "")
    return int(text) if text.isdigit() else None


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text(encoding="utf-8").splitlines()
    except OSError:
        return []
