"""`sub_group_size`: how large the pieces of a rank's partition should be that ZeRO-3 steps one after the other.

`memory.partitions` says how DeepSpeed cuts them; here the size is chosen for the place where they are stepped.
"""

from __future__ import annotations

from collections.abc import Sequence

from tunekit.hardware.spec import Hardware
from tunekit.memory.partitions import power_of_two, sub_group_elements
from tunekit.recipe.schema import Offload
from tunekit.units import format_bytes

_CANDIDATES = (1_000_000_000, 500_000_000, 250_000_000, 200_000_000, 100_000_000, 50_000_000)
_RATIO_CANDIDATES = (*_CANDIDATES[4:], 20_000_000, 10_000_000, 5_000_000, 1_000_000)
_NVME_BUFFERS = 4
"""`offload_optimizer.buffer_count`: master, gradient and two moments of Adam, 4 bytes each."""


def power_of_two_waste(elements: Sequence[int], bytes_each: int) -> int:
    """Bytes lost when every block is pinned alone, rounded up to a power of two."""
    return sum(power_of_two(count * bytes_each) - count * bytes_each for count in elements)


def sub_group_size(
    partitions: Sequence[int],
    hardware: Hardware,
    *,
    stage: int,
    world_size: int,
    offload_optimizer: Offload,
    offload_ratio: float,
) -> tuple[int, str]:
    """`sub_group_size` in elements and the reason for it."""
    if stage < 3:
        return _CANDIDATES[0], "not used below stage 3"
    if offload_optimizer == "nvme":
        return _for_nvme(partitions, hardware, world_size)
    if offload_optimizer == "cpu" and offload_ratio < 1:
        return _for_ratio(partitions)
    if not hardware.gpus:
        return _CANDIDATES[0], "DeepSpeed's default; nothing is page-locked on a CPU"
    if offload_optimizer == "cpu":
        return _for_pinning(partitions)
    return _for_step(partitions, min(gpu.usable_bytes for gpu in hardware.gpus))


def _for_step(partitions: Sequence[int], card_bytes: int) -> tuple[int, str]:
    # 12 bytes per element: the flat gradient in fp32 and two temporaries of an optimizer that is not fused.
    size, largest = _within(partitions, limit=card_bytes // 16 // 12)
    return size, f"the optimizer step needs at most {format_bytes(12 * largest)} of GPU memory at a time"


def _within(partitions: Sequence[int], *, limit: int) -> tuple[int, int]:
    """The largest size whose largest sub-group has at most `limit` elements, and that sub-group's elements.

    Where one parameter alone is larger, the largest size that makes no sub-group larger than that.
    """
    largest = {size: max(sub_group_elements(partitions, size)) for size in _CANDIDATES}
    fitting = (size for size in _CANDIDATES if largest[size] <= limit)
    size = next(fitting, min(largest, key=lambda size: (largest[size], -size)))
    return size, largest[size]


def _for_pinning(partitions: Sequence[int]) -> tuple[int, str]:
    waste = {size: power_of_two_waste(sub_group_elements(partitions, size), 4) for size in _CANDIDATES}
    size = min(waste, key=lambda size: (waste[size], -size))
    return size, f"least rounding of page-locked gradient buffers ({format_bytes(waste[size])} per process)"


def _for_ratio(partitions: Sequence[int]) -> tuple[int, str]:
    for size in _RATIO_CANDIDATES:
        count = len(sub_group_elements(partitions, size))
        if count >= 10:
            break
    return size, f"{count} sub-groups: the offload ratio moves whole sub-groups"


def _for_nvme(partitions: Sequence[int], hardware: Hardware, world_size: int) -> tuple[int, str]:
    per_element = 4 * _NVME_BUFFERS
    size, largest = _within(partitions, limit=hardware.host.usable_ram_bytes // (16 * world_size) // per_element)
    return size, f"swap buffers of {format_bytes(per_element * largest)} per process"
