from memory_jobs import job, llama, machine

from tunekit.memory import overheads
from tunekit.memory.case import make_case
from tunekit.units import GIB

SHAPE = llama()


def test_context_kernels_and_nccl_come_to_the_uncalibrated_constants() -> None:
    """0.6 GiB for one process, 0.9 GiB with NCCL."""
    parts = (overheads.cuda_context, overheads.loaded_kernels, overheads.nccl_buffers, overheads.cublas_workspace)
    one, two = (
        sum(part(make_case(job(ranks=ranks), SHAPE, machine(ranks))).device_bytes for part in parts) for ranks in (1, 2)
    )
    assert abs(one - 0.6 * GIB) < 0.02 * GIB
    assert abs(two - 0.9 * GIB) < 0.02 * GIB


def test_the_cpu_has_none_of_it() -> None:
    found = make_case(job(), SHAPE, machine(0))
    parts = (overheads.cuda_context, overheads.loaded_kernels, overheads.nccl_buffers, overheads.cublas_workspace)
    assert sum(part(found).device_bytes for part in parts) == 0


def test_what_lies_outside_the_allocator_gets_no_margin() -> None:
    found = make_case(job(), SHAPE, machine())
    assert not overheads.cuda_context(found).pooled
    assert overheads.cublas_workspace(found).pooled


def test_changing_lengths_need_a_wider_margin() -> None:
    packed, padded, cpu = (
        overheads.allocator_margin(make_case(job(packing=packing), SHAPE, machine(gpus)))
        for packing, gpus in ((True, 2), (False, 2), (True, 0))
    )
    assert (packed, padded, cpu) == (0.03, 0.12, 0.10)
