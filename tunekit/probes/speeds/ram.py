"""What RAM moves when all cores copy: the C library's own copy, which goes past the caches for blocks this large."""

from __future__ import annotations

import ctypes
import mmap
import time
from concurrent.futures import ThreadPoolExecutor

from tunekit.hardware.probing import Options, Result
from tunekit.units import GIB, MIB

MOST = GIB
"""Bytes of all buffers: more than the caches of any desktop."""
LEAST = 16 * MIB


def measure_ram(options: Options) -> Result:
    """`ram_bandwidth`: bytes read plus bytes written per second, best of the passes of all cores together."""
    block = max(LEAST, min(MOST, options.free_bytes // 4) // (2 * options.cores))
    pairs = [(mmap.mmap(-1, block), mmap.mmap(-1, block)) for _ in range(options.cores)]
    moves = [(_address(source), _address(target)) for source, target in pairs]
    best, end = 0.0, time.perf_counter() + options.seconds
    with ThreadPoolExecutor(options.cores) as threads:
        # Pages exist once they are written.
        _copy_all(threads, [(address, address) for both in moves for address in both], block, fill=True)
        while best == 0.0 or time.perf_counter() < end:
            best = max(best, 2 * block * len(moves) / _copy_all(threads, moves, block))
    note = f"{options.cores} threads copy {block // MIB} MiB each; bytes read and written"
    return {"ram_bandwidth": best, "note": note}


def _address(buffer: mmap.mmap) -> int:
    return ctypes.addressof(ctypes.c_char.from_buffer(buffer))


def _copy_all(threads: ThreadPoolExecutor, moves: list[tuple[int, int]], size: int, *, fill: bool = False) -> float:
    """Seconds until every block is copied, or filled. ctypes lets the interpreter go meanwhile."""

    def move(source: int, target: int) -> None:
        if fill:
            ctypes.memset(target, 1, size)
        else:
            ctypes.memmove(target, source, size)

    started = time.perf_counter()
    for done in [threads.submit(move, *each) for each in moves]:
        done.result()
    return time.perf_counter() - started
