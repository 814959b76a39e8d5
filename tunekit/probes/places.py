"""The folders that a run writes to, with the file systems they lie on; and RAM, swap and /dev/shm beside them."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterable
from pathlib import Path

from tunekit.doctor.readings import HostMemory, Place
from tunekit.probes.host import (
    address_space_bytes,
    memlock_bytes,
    read_drive,
    read_memory,
    read_swap,
    shm_free_bytes,
)

SHM = Path("/dev/shm")


def read_places(named: Iterable[tuple[str, Path]], *, direct: frozenset[str] = frozenset()) -> tuple[Place, ...]:
    """(what, folder) as places; O_DIRECT is tried on those named in `direct`. A folder need not exist."""
    return tuple(_place(what, path, try_direct=what in direct) for what, path in named)


def file_system_of(path: str) -> str:
    """The type of the file system that holds an existing folder; empty where the kernel does not say."""
    import psutil

    real = os.path.realpath(path)
    above = [part for part in psutil.disk_partitions(all=True) if _holds(part.mountpoint, real)]
    return max(above, key=lambda part: len(part.mountpoint)).fstype if above else ""


def takes_direct(folder: str) -> bool | None:
    """Whether files here can be opened past the page cache; None where no file can be made."""
    try:
        handle, name = tempfile.mkstemp(prefix=".tunekit-doctor-", dir=folder)
    except OSError:
        return None
    os.close(handle)
    try:
        os.close(os.open(name, os.O_RDWR | os.O_DIRECT))
        return True
    except OSError:
        return False
    finally:
        os.unlink(name)


def read_host_memory() -> HostMemory:
    """RAM within the cgroup, swap, /dev/shm, and what may be locked."""
    memory, swap = read_memory(), read_swap()
    return HostMemory(
        total=memory.total,
        available=memory.available,
        limit=memory.limit,
        swap_total=swap.total,
        swap_free=swap.free,
        shm_total=shutil.disk_usage(SHM).total if SHM.is_dir() else 0,
        shm_free=shm_free_bytes(),
        memlock=memlock_bytes(),
        address_space=address_space_bytes(),
    )


def _place(what: str, path: Path, *, try_direct: bool) -> Place:
    drive = read_drive(path)
    counts = os.statvfs(drive.path)
    return Place(
        what=what,
        path=str(path),
        free_bytes=drive.free,
        file_system=file_system_of(drive.path),
        # btrfs and some network drives make them as they are needed, and count none.
        free_inodes=counts.f_favail if counts.f_files else None,
        direct=takes_direct(drive.path) if try_direct else None,
    )


def _holds(mountpoint: str, path: str) -> bool:
    return path == mountpoint or path.startswith(mountpoint.rstrip("/") + "/")
