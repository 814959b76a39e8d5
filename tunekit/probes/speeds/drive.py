"""What a drive writes and reads, past the page cache where the file system allows it."""

from __future__ import annotations

import mmap
import os
import tempfile
import time
from pathlib import Path

from tunekit.hardware.probing import Options, Result
from tunekit.units import GIB, MIB

BLOCK = 8 * MIB
MOST = 4 * GIB
LEAST = 64 * MIB


def measure_drive(options: Options) -> Result:
    """`write_rate` and `read_rate` of a new file in `options.folder`, whose name is gone before the first byte.

    Writes until half the time or a tenth of the free space is used, forces the data onto the drive, reads them back.
    """
    options.folder.mkdir(parents=True, exist_ok=True)
    size = min(MOST, _free(options.folder) // 10) // BLOCK * BLOCK
    if size < LEAST:
        raise OSError(f"{options.folder} has less than {10 * LEAST // MIB} MiB free")
    descriptor, direct = _nameless(options.folder)
    try:
        written, write_rate = _write(descriptor, size, options.seconds / 2)
        if not direct:
            os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
        read_rate = _read(descriptor, written, options.seconds / 2)
    finally:
        os.close(descriptor)
    way = "past the page cache" if direct else "through the page cache: the file system has no O_DIRECT"
    return {
        "write_rate": write_rate,
        "read_rate": read_rate,
        "note": f"{written // MIB} MiB in {options.folder}, {way}",
    }


def _free(folder: Path) -> int:
    place = os.statvfs(folder)
    return place.f_bavail * place.f_frsize


def _nameless(folder: Path) -> tuple[int, bool]:
    """A new file without a name, which vanishes with this process; and whether it is opened past the page cache."""
    handle, name = tempfile.mkstemp(prefix=".tunekit-probe-", dir=folder)
    os.close(handle)
    try:
        return os.open(name, os.O_RDWR | os.O_DIRECT), True
    except OSError:  # such as tmpfs of older kernels
        return os.open(name, os.O_RDWR), False
    finally:
        os.unlink(name)


def _write(descriptor: int, size: int, seconds: float) -> tuple[int, float]:
    """Bytes written, and bytes per second with the time that forcing them onto the drive takes."""
    # Direct access needs memory at the start of a page; random bytes, as some drives compress zeros.
    block = mmap.mmap(-1, BLOCK)
    block.write(os.urandom(BLOCK))
    started, written = time.perf_counter(), 0
    while written < LEAST or (written < size and time.perf_counter() - started < seconds):
        written += os.writev(descriptor, [block])
    os.fsync(descriptor)
    return written, written / (time.perf_counter() - started)


def _read(descriptor: int, size: int, seconds: float) -> float:
    block = mmap.mmap(-1, BLOCK)
    os.lseek(descriptor, 0, os.SEEK_SET)
    started, read = time.perf_counter(), 0
    while read < size and (read < LEAST or time.perf_counter() - started < seconds):
        got = os.readv(descriptor, [block])
        if not got:
            break
        read += got
    return read / (time.perf_counter() - started)
