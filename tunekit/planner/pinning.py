"""Whether offloaded buffers may be page-locked: locked memory cannot be swapped out, and most of RAM must stay free."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from tunekit.ds_config.buckets import Choice
from tunekit.hardware.spec import Hardware
from tunekit.memory.estimate import estimate_memory
from tunekit.memory.terms import MemoryTerm
from tunekit.model_shape.shape import ModelShape
from tunekit.recipe.job import Job
from tunekit.units import format_bytes

PINNED_TERMS = (
    "gradients in RAM",
    "transfer buffers of offload",
    "trained weights in RAM",
    "frozen base in RAM",
)
PINNED_BY_GROUPS = "master weights in RAM"
"""Page-locked in stages 1 and 2 only."""


def pin_memory(hardware: Hardware, *, pinned_bytes: int) -> Choice[bool]:
    """Whether so many bytes, rounding included, may be page-locked: up to 60 % of the usable RAM."""
    if not hardware.gpus:
        return Choice(value=False, reason="nothing is copied to a GPU")
    if pinned_bytes * 10 > hardware.host.usable_ram_bytes * 6:
        reason = f"{format_bytes(pinned_bytes)} would be page-locked, more than 60 % of the usable RAM"
        return Choice(value=False, reason=reason)
    return Choice(value=True, reason="page-locked buffers copy to the GPU at full PCIe speed")


def pinned_bytes(terms: Iterable[MemoryTerm], stage: int) -> int:
    """Bytes of RAM that DeepSpeed would page-lock, rounding included."""
    names = PINNED_TERMS if stage == 3 else (*PINNED_TERMS, PINNED_BY_GROUPS)
    return sum(term.host_bytes for term in terms if term.name in names)


def pinning(job: Job, shape: ModelShape, hardware: Hardware) -> Choice[bool]:
    """Whether the job's buffers are better page-locked, and why."""
    locked = replace(job, zero=replace(job.zero, pin_memory=True))
    memory = estimate_memory(locked, shape, hardware)
    choice = pin_memory(hardware, pinned_bytes=pinned_bytes(memory.terms, job.zero.stage))
    if choice.value and memory.host.high_bytes > memory.host.usable_bytes:
        reason = "page-locked blocks are rounded up to powers of two, which RAM has no room for"
        return Choice(value=False, reason=reason)
    return choice
