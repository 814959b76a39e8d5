"""`estimate_memory`: every term of a job, summed by phase and place, against what each place may hold."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from tunekit.hardware.spec import Hardware
from tunekit.memory import activations, buffers, disk, engine_work, host, logits, model_states, overheads
from tunekit.memory.case import Case, make_case
from tunekit.memory.peaks import Totals, at_their_peaks
from tunekit.memory.terms import LATER, PHASES, MemoryEstimate, MemoryTerm, Phase
from tunekit.model_shape.shape import ModelShape
from tunekit.recipe.job import Job

SINGLE: tuple[Callable[[Case], MemoryTerm], ...] = (
    model_states.trained_weights,
    model_states.frozen_base,
    model_states.four_bit_base,
    model_states.four_bit_scales,
    model_states.whole_base_while_loading,
    model_states.tensor_in_transit,
    model_states.flat_copy,
    model_states.gradients,
    model_states.master_weights,
    model_states.optimizer_states,
    model_states.gradients_kept_on_device,
    model_states.optimizer_step,
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
    host.saving,
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


def estimate_memory(job: Job, shape: ModelShape, hardware: Hardware) -> MemoryEstimate:
    """What the job needs of each GPU, of the host and of the disk. Pure and fast; bytes.

    Without GPUs the host holds what the devices would, once per rank, and the device's column is zero.
    """
    case = make_case(job, shape, hardware)
    return sum_up(case, collect_terms(case))


def sum_up(case: Case, collected: tuple[MemoryTerm, ...]) -> MemoryEstimate:
    """The peaks of these terms by phase and place, against what the machine of the case may hold."""
    hardware = case.hardware
    margin = overheads.allocator_margin(case)
    terms = at_their_peaks(collected)
    totals = Totals(margin=margin, allocator="host" if case.on_cpu else "device")
    totals.add(terms)
    return MemoryEstimate(
        terms=terms,
        peaks=tuple(totals.peak(phase) for phase in (*PHASES, *LATER)),
        device=totals.estimate("device", _device_usable(case)),
        host=totals.estimate("host", hardware.host.usable_ram_bytes),
        disk=totals.estimate("disk", hardware.disks[0].usable_bytes if hardware.disks else 0),
        allocator_margin=margin,
    )


def collect_terms(case: Case) -> tuple[MemoryTerm, ...]:
    """Every term that has any bytes, each in one place."""
    found = [make(case) for make in SINGLE]
    found += [term for several in SEVERAL for term in several(case)]
    held = [term for term in found if term.device_bytes or term.host_bytes or term.disk_bytes]
    absent: set[Phase] = set() if case.job.evaluates else {"eval"}
    absent |= set() if case.job.save_checkpoints else {"resume"}
    held = [_without(term, absent) for term in held if not absent.issuperset(term.phases)]
    if case.on_cpu:
        held = [_on_the_host(term, case.world_size) for term in held]
    return tuple(held)


def _without(term: MemoryTerm, absent: set[Phase]) -> MemoryTerm:
    if absent.isdisjoint(term.phases):
        return term
    return replace(term, phases=tuple(phase for phase in term.phases if phase not in absent))


def _on_the_host(term: MemoryTerm, world_size: int) -> MemoryTerm:
    if not term.device_bytes:
        return term
    formula = f"{world_size} ranks x ({term.formula})"
    return replace(term, device_bytes=0, host_bytes=world_size * term.device_bytes, formula=formula)


def _device_usable(case: Case) -> int:
    return 0 if case.on_cpu else min(gpu.usable_bytes for gpu in case.hardware.gpus)
