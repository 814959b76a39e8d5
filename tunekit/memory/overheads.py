"""What a card holds beside tensors, and how much more the allocator may need than the tensors do."""

from __future__ import annotations

from tunekit.memory.case import Case
from tunekit.memory.figures import Figure, figure, margin
from tunekit.memory.model_states import ALWAYS, TRAINING
from tunekit.memory.terms import MemoryTerm
from tunekit.units import MIB

_HOPPER = 9.0


def cuda_context(case: Case) -> MemoryTerm:
    """300 MiB: what a process takes of a card before its first tensor, kernels loaded lazily (CUDA 11.7 and later)."""
    found = figure("context_bytes", case.hardware.calibration)
    return _outside("CUDA context", 0 if case.on_cpu else found.bytes, found)


def loaded_kernels(case: Case) -> MemoryTerm:
    """290 MiB of kernels that a training step loads: matmuls, attention, bitsandbytes, Triton."""
    found = figure("kernel_bytes", case.hardware.calibration)
    return _outside("loaded kernels", 0 if case.on_cpu else found.bytes, found)


def nccl_buffers(case: Case) -> MemoryTerm:
    """300 MiB of NCCL's channels and communicators with more than one card."""
    found = figure("nccl_bytes", case.hardware.calibration)
    return _outside("NCCL buffers", 0 if case.on_cpu or case.world_size == 1 else found.bytes, found)


def _outside(name: str, size: int, found: Figure) -> MemoryTerm:
    """Bytes that torch's allocator does not hand out."""
    return MemoryTerm(
        name=name,
        phases=ALWAYS,
        device_bytes=size,
        formula=found.text,
        source=found.source,
        kind="calibrated",
        low=found.low,
        high=found.high,
        pooled=False,
    )


def cublas_workspace(case: Case) -> MemoryTerm:
    """Two handles of 8.1 MiB, or of 32 MiB from Hopper on."""
    each = 32 * MIB if any(gpu.compute_capability >= _HOPPER for gpu in case.hardware.gpus) else 8519680
    return MemoryTerm(
        name="cuBLAS workspace",
        phases=TRAINING,
        device_bytes=0 if case.on_cpu else 2 * each,
        formula=f"2 x {each:,} B",
        source="torch aten/src/ATen/cuda/CUDABlas; leftovers of 8.5 and 17 MB in published traces",
        kind="exact",
    )


def allocator_margin(case: Case) -> float:
    """Share that the caching allocator may need beyond the tensors.

    3 % where every batch has one length (packed) and segments can grow, as the launcher sets; 12 % with padded batches
    of changing length; or what full cards of this machine measured. On the CPU 10 %: glibc keeps freed blocks. From
    published reserved against allocated peaks.
    """
    if case.on_cpu:
        return 0.10
    return margin(case.job.packing, case.hardware.calibration)
