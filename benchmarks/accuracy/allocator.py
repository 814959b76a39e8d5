"""torch's caching allocator, replayed: what it reserves for a sequence of allocations.

From c10/cuda/CUDACachingAllocator.cpp: sizes in steps of 512 B; up to 1 MiB from segments of 2 MiB, up to 10 MiB from
20 MiB, above in steps of 2 MiB; best fit; blocks are split and merged; when the card is full, free segments go back.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from dataclasses import dataclass, field

from tunekit.units import MIB

_STEP = 512
_SMALL, _SMALL_SEGMENT = MIB, 2 * MIB
_MIDDLE, _MIDDLE_SEGMENT = 10 * MIB, 20 * MIB
_LARGE_STEP = 2 * MIB


class OutOfMemoryError(Exception):
    """A segment does not fit on the card even after free ones were given back."""


@dataclass(slots=True, eq=False)
class Block:
    """A part of a segment. `previous` and `following` are its neighbours there."""

    size: int
    address: int
    small: bool
    free: bool = False
    previous: Block | None = None
    following: Block | None = None


@dataclass(slots=True)
class CachingAllocator:
    """The allocator of one card with `limit` bytes for torch."""

    limit: int
    reserved: int = 0
    allocated: int = 0
    peak_reserved: int = 0
    peak_allocated: int = 0
    _next_address: int = 0
    _free: dict[bool, list[tuple[int, int, Block]]] = field(default_factory=lambda: {True: [], False: []})

    def take(self, size: int) -> Block:
        """A block of at least `size` bytes. Raises OutOfMemoryError."""
        wanted = max(_STEP, -(-size // _STEP) * _STEP)
        small = wanted <= _SMALL
        block = self._best_fit(wanted, small) or self._new_segment(wanted, small)
        self._split(block, wanted)
        block.free = False
        self.allocated += block.size
        self.peak_allocated = max(self.peak_allocated, self.allocated)
        return block

    def give(self, block: Block) -> None:
        """Give a block back; it is merged with free neighbours."""
        self.allocated -= block.size
        block.free = True
        for other in (block.previous, block.following):
            if other is not None and other.free:
                self._forget(other)
                block = _merged(block, other)
        self._remember(block)

    def _best_fit(self, wanted: int, small: bool) -> Block | None:
        free = self._free[small]
        place = bisect_left(free, (wanted, -1))
        return free.pop(place)[2] if place < len(free) else None

    def _new_segment(self, wanted: int, small: bool) -> Block:
        size = _segment_size(wanted)
        if self.reserved + size > self.limit:
            self._release()
            if self.reserved + size > self.limit:
                raise OutOfMemoryError
        self.reserved += size
        self.peak_reserved = max(self.peak_reserved, self.reserved)
        address, self._next_address = self._next_address, self._next_address + size + _LARGE_STEP
        return Block(size=size, address=address, small=small)

    def _release(self) -> None:
        for free in self._free.values():
            whole = [entry for entry in free if entry[2].previous is None and entry[2].following is None]
            self.reserved -= sum(entry[0] for entry in whole)
            free[:] = [entry for entry in free if entry[2].previous is not None or entry[2].following is not None]

    def _split(self, block: Block, wanted: int) -> None:
        rest = block.size - wanted
        if rest < _STEP or (not block.small and rest <= _SMALL):
            return
        tail = Block(
            size=rest, address=block.address + wanted, small=block.small, free=True, previous=block,
            following=block.following,
        )  # fmt: skip
        if block.following is not None:
            block.following.previous = tail
        block.following = tail
        block.size = wanted
        self._remember(tail)

    def _remember(self, block: Block) -> None:
        insort(self._free[block.small], (block.size, block.address, block))

    def _forget(self, block: Block) -> None:
        free = self._free[block.small]
        free.pop(bisect_left(free, (block.size, block.address)))


def _merged(one: Block, other: Block) -> Block:
    first, second = (one, other) if one.address < other.address else (other, one)
    first.size += second.size
    first.following = second.following
    if second.following is not None:
        second.following.previous = first
    first.free = True
    return first


def _segment_size(wanted: int) -> int:
    if wanted <= _SMALL:
        return _SMALL_SEGMENT
    if wanted < _MIDDLE:
        return _MIDDLE_SEGMENT
    return -(-wanted // _LARGE_STEP) * _LARGE_STEP
