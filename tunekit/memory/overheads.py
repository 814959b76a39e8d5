"""What a card holds beside tensors, and how much more the allocator may need than the tensors do."""

from __future__ import annotations

from tunekit.memory.case import Case
from tunekit.memory.model_states import ALWAYS
from tunekit.memory.terms import MemoryTerm
from tunekit.units import MIB

CONTEXT_BYTES = 300 * MIB
KERNEL_BYTES = 290 * MIB
NCCL_BYTES = 300 * MIB
_HOPPER = 9.0


def cuda_context(case: Case) -> MemoryTerm:
    """300 MiB: what a process takes of a card before its first tensor, kernels loaded lazily (CUDA 11.7 and later)."""
    return MemoryTerm(
        name="CUDA context",
        phases=ALWAYS,
        device_bytes=0 if case.on_cpu else CONTEXT_BYTES,
        formula="300 MiB",
        source="pytorch issue 107667 (lazy module loading)",
        kind="calibrated",
        low=0.8,
        high=1.5,
        pooled=False,
    )


def loaded_kernels(case: Case) -> MemoryTerm:
    """290 MiB of kernels that a training step loads: matmuls, attention, bitsandbytes, Triton."""
    return MemoryTerm(
        name="loaded kernels",
        phases=ALWAYS,
        device_bytes=0 if case.on_cpu else KERNEL_BYTES,
        formula="290 MiB",
        source="context and kernels together 0.6 GiB before calibration on the machine",
        kind="calibrated",
        low=0.3,
        high=1.5,
        pooled=False,
    )


def nccl_buffers(case: Case) -> MemoryTerm:
    """300 MiB of NCCL's channels and communicators with more than one card."""
    return MemoryTerm(
        name="NCCL buffers",
        phases=ALWAYS,
        device_bytes=0 if case.on_cpu or case.world_size == 1 else NCCL_BYTES,
        formula="300 MiB",
        source="4 MiB per channel and connection; 50 to 250 MiB through host memory, more with NVLink",
        kind="calibrated",
        low=0.2,
        high=1.3,
        pooled=False,
    )


def cublas_workspace(case: Case) -> MemoryTerm:
    """Two handles of 8.1 MiB, or of 32 MiB from Hopper on."""
    each = 32 * MIB if any(gpu.compute_capability >= _HOPPER for gpu in case.hardware.gpus) else 8519680
    return MemoryTerm(
        name="cuBLAS workspace",
        phases=("step", "eval"),
        device_bytes=0 if case.on_cpu else 2 * each,
        formula=f"2 x {each:,} B",
        source="torch aten/src/ATen/cuda/CUDABlas; leftovers of 8.5 and 17 MB in published traces",
        kind="exact",
    )


def allocator_margin(case: Case) -> float:
    """Share that the caching allocator may need beyond the tensors.

    3 % where every batch has one length (packed) and segments can grow, as the launcher sets; 12 % with padded batches
    of changing length. On the CPU 10 %: glibc keeps freed blocks. From published reserved against allocated peaks.
    """
    if case.on_cpu:
        return 0.10
    return 0.03 if case.job.packing else 0.12
