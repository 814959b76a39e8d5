"""`estimate_memory`: every term of a job, summed by phase and place, against what each place may hold."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from functools import partial

from tunekit.hardware.spec import Hardware
from tunekit.memory import activations, buffers, disk, engine_work, host, logits, model_states, overheads
from tunekit.memory.case import Case, make_case
from tunekit.memory.terms import (
    LATER,
    MOMENTS,
    PHASES,
    PLACES,
    MemoryEstimate,
    MemoryTerm,
    Moment,
    Phase,
    PhasePeak,
    Place,
    PlaceEstimate,
)
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
    terms = _at_their_peaks(collected)
    place = partial(_place, terms, margin=margin, allocator="host" if case.on_cpu else "device")
    return MemoryEstimate(
        terms=terms,
        peaks=tuple(_peak(terms, phase) for phase in (*PHASES, *LATER)),
        device=place("device", usable=_device_usable(case)),
        host=place("host", usable=hardware.host.usable_ram_bytes),
        disk=place("disk", usable=hardware.disks[0].usable_bytes if hardware.disks else 0),
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
    return replace(term, phases=tuple(phase for phase in term.phases if phase not in absent))


def _on_the_host(term: MemoryTerm, world_size: int) -> MemoryTerm:
    if not term.device_bytes:
        return term
    formula = f"{world_size} ranks x ({term.formula})"
    return replace(term, device_bytes=0, host_bytes=world_size * term.device_bytes, formula=formula)


def _at_their_peaks(terms: tuple[MemoryTerm, ...]) -> tuple[MemoryTerm, ...]:
    """Each term with only those phases at whose peak it stands."""
    worst = {(phase, place): _worst_moment(terms, phase, place) for phase in MOMENTS for place in PLACES}
    return tuple(_standing(term, worst) for term in terms)


def _worst_moment(terms: tuple[MemoryTerm, ...], phase: Phase, place: Place) -> Moment | None:
    moments = MOMENTS[phase]
    if not moments:
        return None
    inside = [term for term in terms if phase in term.phases and term.bytes_in(place)]
    return max(moments, key=lambda moment: sum(term.bytes_in(place) for term in inside if _lives(term, phase, moment)))


def _lives(term: MemoryTerm, phase: Phase, moment: Moment | None) -> bool:
    named = [each for each in term.moments if each in MOMENTS[phase]]
    return not named or moment in named


def _standing(term: MemoryTerm, worst: dict[tuple[Phase, Place], Moment | None]) -> MemoryTerm:
    place = next(place for place in PLACES if term.bytes_in(place))
    kept = tuple(phase for phase in term.phases if _lives(term, phase, worst[phase, place]))
    return term if kept == term.phases else replace(term, phases=kept)


def _peak(terms: tuple[MemoryTerm, ...], phase: Phase) -> PhasePeak:
    inside = [term for term in terms if phase in term.phases]
    return PhasePeak(
        phase=phase,
        device_bytes=sum(term.device_bytes for term in inside),
        host_bytes=sum(term.host_bytes for term in inside),
        disk_bytes=sum(term.disk_bytes for term in inside),
    )


def _place(
    terms: tuple[MemoryTerm, ...], place: Place, *, usable: int, margin: float, allocator: Place
) -> PlaceEstimate:
    held = [term for term in terms if term.bytes_in(place)]
    share = margin if place == allocator else 0.0
    sums = {phase: _band([term for term in held if phase in term.phases], place, share) for phase in PHASES}
    worst = max(PHASES, key=lambda phase: sums[phase][1])
    return PlaceEstimate(
        low_bytes=max(low for low, _, _ in sums.values()),
        expected_bytes=sums[worst][1],
        high_bytes=max(high for _, _, high in sums.values()),
        usable_bytes=usable,
        worst_phase=worst,
    )


def _band(terms: Iterable[MemoryTerm], place: Place, margin: float) -> tuple[int, int, int]:
    """Low, expected and high bytes. High adds the allocator's margin to what it holds."""
    low = expected = high = 0.0
    for term in terms:
        size = term.bytes_in(place)
        low += size * term.low
        expected += size
        high += size * (term.high + (margin if term.pooled else 0.0))
    return round(low), round(expected), round(high)


def _device_usable(case: Case) -> int:
    return 0 if case.on_cpu else min(gpu.usable_bytes for gpu in case.hardware.gpus)
