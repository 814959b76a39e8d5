"""`estimate_memory`: every term of a job, summed by phase and place, against what each place may hold."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import TypeAlias

from tunekit.hardware.spec import Hardware
from tunekit.memory import activations, buffers, disk, engine_work, host, logits, model_states, overheads, saving
from tunekit.memory.case import Case, make_case
from tunekit.memory.peaks import Sums, at_their_peaks, sum_of
from tunekit.memory.terms import LATER, PHASES, MemoryEstimate, MemoryTerm, Phase, PlaceEstimate
from tunekit.model_shape.shape import ModelShape
from tunekit.recipe.job import Job

SINGLE: tuple[Callable[[Case], MemoryTerm], ...] = (
    model_states.trained_weights,
    model_states.frozen_base,
    model_states.quantised_base,
    model_states.base_scales,
    model_states.whole_base_while_loading,
    model_states.tensor_in_transit,
    model_states.flat_copy,
    model_states.gradients,
    model_states.master_weights,
    model_states.optimizer_states,
    model_states.gradients_kept_on_device,
    engine_work.optimizer_step,
    engine_work.masters_being_made,
    engine_work.gradient_norm,
    buffers.reduce_bucket,
    buffers.reduce_scatter_work,
    buffers.offload_gradient_buffer,
    buffers.persistent_parameters,
    buffers.prefetch_bucket,
    buffers.zenflow_columns,
    activations.activation_checkpoints,
    activations.saved_activations,
    activations.layer_input_gradients,
    activations.dequantised_weight,
    activations.attention_mask,
    activations.inputs_and_tables,
    activations.evaluation_forward,
    logits.loss,
    logits.head_gradient,
    logits.evaluation_loss,
    overheads.cuda_context,
    overheads.loaded_kernels,
    overheads.nccl_buffers,
    overheads.cublas_workspace,
    host.processes,
    host.kernel_scratch,
    host.data_workers,
    host.loading_copies,
    host.mapped_checkpoint,
    host.gguf_conversion,
    host.flattening,
    host.master_in_ram,
    host.states_in_ram,
    host.gradients_in_ram,
    host.transfer_buffers,
    host.zenflow_buffer,
    host.trained_weights_in_ram,
    host.frozen_weights_in_ram,
    host.nvme_optimizer_buffers,
    host.nvme_param_buffers,
    saving.saving,
    host.resuming,
    host.merging,
    disk.base_model,
    disk.checkpoints,
    disk.final_model,
    disk.merged_model,
    disk.swap_files,
)
"""One function per term, in the order they are shown."""
SEVERAL: tuple[Callable[[Case], tuple[MemoryTerm, ...]], ...] = (
    model_states.gradients_in_flight,
    buffers.gathered_weights,
    activations.attention_bias,
    activations.layer_in_backward,
    activations.merged_experts,
)
"""Functions that give a term per moment of the step."""
Maker: TypeAlias = Callable[[Case], MemoryTerm] | Callable[[Case], tuple[MemoryTerm, ...]]
_OF_PASSES = (activations.__name__, logits.__name__)
_ALL: tuple[Maker, ...] = (*SINGLE, *SEVERAL)
PASSING: tuple[Maker, ...] = tuple(make for make in _ALL if make.__module__ in _OF_PASSES)
"""What a pass keeps: rows, packing, recomputation and the loss decide it, and nothing of ZeRO or offload."""
PLACED: tuple[Maker, ...] = tuple(make for make in _ALL if make.__module__ not in _OF_PASSES)
"""Everything else."""


def estimate_memory(job: Job, shape: ModelShape, hardware: Hardware) -> MemoryEstimate:
    """What the job needs of each GPU, of the host and of the disk. Pure and fast; bytes.

    Without GPUs the host holds what the devices would, once per rank, and the device's column is zero.
    """
    case = make_case(job, shape, hardware)
    return sum_up(case, collect_terms(case))


def sum_up(case: Case, collected: tuple[MemoryTerm, ...]) -> MemoryEstimate:
    """The peaks of these terms by phase and place, against what the machine of the case may hold."""
    absent = absent_phases(case)
    sums = sum_of(collected, absent)
    on_device, on_host, on_disk = places(case, sums)
    return MemoryEstimate(
        terms=at_their_peaks(collected, sums, absent),
        peaks=tuple(sums.peak(phase) for phase in (*PHASES, *LATER)),
        device=on_device,
        host=on_host,
        disk=on_disk,
        allocator_margin=overheads.allocator_margin(case),
    )


def places(case: Case, sums: Sums) -> tuple[PlaceEstimate, PlaceEstimate, PlaceEstimate]:
    """Device, host and disk: their worst phases against what the machine of the case may hold."""
    hardware, margin = case.hardware, overheads.allocator_margin(case)
    return (
        sums.estimate("device", _device_usable(case), 0.0 if case.on_cpu else margin),
        sums.estimate("host", hardware.host.usable_ram_bytes, margin if case.on_cpu else 0.0),
        sums.estimate("disk", _disk_usable(case, max(sums.peak(phase).disk_bytes for phase in PHASES)), 0.0),
    )


def absent_phases(case: Case) -> frozenset[Phase]:
    """What a run of this job does not go through."""
    absent: set[Phase] = set() if case.job.evaluates else {"eval"}
    absent |= set() if case.job.save_checkpoints else {"resume"}
    return frozenset(absent)


def placed_terms(case: Case) -> list[MemoryTerm]:
    """What a job takes however many rows a pass has: it depends on neither rows, packing, recomputation nor loss."""
    return _made(case, PLACED)


def sum_terms(case: Case, terms: Iterable[MemoryTerm]) -> Sums:
    """The sums of terms of this job."""
    return sum_of(terms, absent_phases(case))


def passing_sums(case: Case) -> Sums:
    """What the passes of a job add, wherever its states lie; with its placed terms it is the whole estimate."""
    return sum_terms(case, _made(case, PASSING))


def collect_terms(case: Case) -> tuple[MemoryTerm, ...]:
    """Every term that has any bytes, each in one place."""
    held, absent = _made(case, _ALL), absent_phases(case)
    held = [term for term in held if not absent.issuperset(term.phases)]
    if case.on_cpu:
        held = [_on_the_host(term, case.world_size) for term in held]
    return tuple(held)


def _made(case: Case, makers: Iterable[Maker]) -> list[MemoryTerm]:
    found = [make(case) for make in makers]
    terms = (term for made in found for term in (made if isinstance(made, tuple) else (made,)))
    return [term for term in terms if term.device_bytes or term.host_bytes or term.disk_bytes]


def _on_the_host(term: MemoryTerm, world_size: int) -> MemoryTerm:
    if not term.device_bytes:
        return term
    formula = f"{world_size} ranks x ({term.formula})"
    return replace(term, device_bytes=0, host_bytes=world_size * term.device_bytes, formula=formula)


def _disk_usable(case: Case, needed: int) -> int:
    """What the drives may hold of a job's `needed` bytes as it divides them: swap files on one, the rest on the first.

    Where those are two, it is what is needed and the room that is left on the fuller one.
    """
    drives, swap = case.hardware.disks, case.hardware.swap_disk
    if not drives or swap is None:
        return 0
    moved = disk.swap_files(case).disk_bytes
    if not moved or swap is drives[0]:
        return drives[0].usable_bytes
    return needed + min(drives[0].usable_bytes - (needed - moved), swap.usable_bytes - moved)


def _device_usable(case: Case) -> int:
    return 0 if case.on_cpu else min(gpu.usable_bytes for gpu in case.hardware.gpus)
