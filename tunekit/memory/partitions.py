"""How DeepSpeed cuts tensors into partitions and how torch rounds pinned blocks. Elements and bytes, all exact."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import lru_cache

from tunekit.model_shape.shape import ParameterTensor

Tensors = tuple[ParameterTensor, ...]


def ceil_div(count: int, parts: int) -> int:
    """`count / parts`, rounded up."""
    return -(-count // parts)


def flat_partition(elements: int, world_size: int) -> int:
    """Elements per rank of one flat group in stages 1 and 2.

    The group is padded to a multiple of 2 x world_size: `nccl_start_alignment_factor` in DeepSpeed 0.19.8,
    runtime/zero/stage_1_and_2.py.
    """
    return ceil_div(elements, 2 * world_size) * 2


@lru_cache(maxsize=4096)
def sharded_elements(tensors: Tensors, world_size: int) -> int:
    """Elements per rank in stage 3, where each tensor is padded to a multiple of the ranks.

    DeepSpeed 0.19.8, runtime/zero/partition_parameters.py, `_aligned_size`.
    """
    return sum(ceil_div(tensor.numel, world_size) * tensor.count for tensor in tensors)


def power_of_two(size: int) -> int:
    """Bytes that torch's pinned allocator takes for a request: the next power of two.

    c10 `CachingHostAllocator` rounds with `PowerOf2Ceil`; no upper limit is set by default.
    """
    return 1 << (size - 1).bit_length() if size > 0 else 0


@lru_cache(maxsize=4096)
def pinned_tensors(tensors: Tensors, world_size: int, element_bytes: int) -> int:
    """Bytes per rank when the stage-3 partition of every tensor is pinned as a block of its own."""
    return sum(power_of_two(ceil_div(tensor.numel, world_size) * element_bytes) * tensor.count for tensor in tensors)


def in_order(tensors: Sequence[ParameterTensor]) -> Iterator[ParameterTensor]:
    """Each tensor once per layer, as `named_parameters()` lists them: the layers stand where the first of them does."""
    layered = [tensor for tensor in tensors if "{layer}" in tensor.name]
    last = max((tensor.first_layer + tensor.count for tensor in layered), default=0)
    waiting = True
    for tensor in tensors:
        if "{layer}" not in tensor.name:
            yield from (tensor for _ in range(tensor.count))
        elif waiting:
            waiting = False
            for layer in range(last):
                yield from (each for each in layered if each.first_layer <= layer < each.first_layer + each.count)


@lru_cache(maxsize=4096)
def partition_sizes(tensors: Tensors, world_size: int) -> tuple[int, ...]:
    """Elements that one of `world_size` ranks holds of each tensor in stage 3, as `named_parameters()` lists them."""
    return tuple(ceil_div(tensor.numel, world_size) for tensor in in_order(tensors))


def sub_group_elements(partitions: Sequence[int], size: int) -> tuple[int, ...]:
    """Elements of each sub-group that stage 3 makes of these partitions and steps at once.

    Whole parameters are appended until the group holds at least `size` elements, so a group overshoots by up to its
    last parameter (DeepSpeed 0.19.8, runtime/zero/stage3.py, `_create_fp16_sub_groups`).
    """
    if size >= sum(partitions):
        return (sum(partitions),) if partitions else ()
    groups, running = [], 0
    for elements in partitions:
        running += elements
        if running >= size:
            groups.append(running)
            running = 0
    return tuple(groups) if not running else (*groups, running)


@lru_cache(maxsize=4096)
def sub_groups(tensors: Tensors, world_size: int, size: int) -> tuple[int, ...]:
    """Elements per rank of each sub-group of these tensors."""
    return sub_group_elements(partition_sizes(tensors, world_size), size)


@lru_cache(maxsize=4096)
def persistent_elements(tensors: Tensors, threshold: int) -> int:
    """Elements of the tensors that stage 3 keeps whole on every rank: those of at most `threshold` elements."""
    return sum(tensor.total for tensor in tensors if tensor.numel <= threshold)
