"""What ZeRO allocates beside the model states, on one device: buckets, gathered weights, persistent parameters."""

from __future__ import annotations

from tunekit.memory.case import Case
from tunekit.memory.model_states import ALWAYS, BACKWARD, FORWARD, TRAINING
from tunekit.memory.terms import MemoryTerm, Moment, Phase

_PARTITION = "deepspeed 0.19.8 runtime/zero/partition_parameters.py, partitioned_param_coordinator.py"
ZENFLOW_TOPK = 0.1
"""`zenflow.topk_ratio` of the preset: the share of columns that stays on the device."""


def reduce_bucket(case: Case) -> MemoryTerm:
    """b x reduce_bucket_size, in backward and twice with overlap_comm in stages 1 and 2; for ever in stage 3."""
    copies = {0: 0, 3: 1}.get(case.stage, 2 if case.job.zero.overlap_comm else 1)
    size = case.job.zero.reduce_bucket_size
    return MemoryTerm(
        name="reduce bucket",
        phases=ALWAYS if case.stage == 3 else ("step",),
        moments=("masters",) if case.stage == 3 else BACKWARD,
        device_bytes=copies * case.weight_bytes * size,
        formula=f"{copies} x {case.weight_bytes} B x {size:,} elements",
        source="deepspeed 0.19.8 stage_1_and_2.py `setup_buckets`, stage3.py `_setup_for_real_optimizer`",
        kind="exact",
    )


def reduce_scatter_work(case: Case) -> MemoryTerm:
    """Stage 3 copies a full bucket while it reduces it: b x reduce_bucket_size, at most what is trained."""
    size = min(case.job.zero.reduce_bucket_size, case.inventory.num_trainable) if case.stage == 3 else 0
    return MemoryTerm(
        name="reduce-scatter work",
        phases=("step",),
        moments=("backward start", "backward end"),
        device_bytes=case.weight_bytes * size,
        formula=f"{case.weight_bytes} B x {size:,} elements",
        source="deepspeed 0.19.8 runtime/zero/stage3.py, runtime/comm/coalesced_collectives.py",
        kind="bound",
        low=0.0,
    )


def offload_gradient_buffer(case: Case) -> MemoryTerm:
    """b x the largest trained tensor: where stages 1 and 2 stage a gradient on its way to RAM."""
    used = case.stage in (1, 2) and case.offloads_optimizer
    largest = case.inventory.largest_trainable
    return MemoryTerm(
        name="gradient buffer of offload",
        phases=TRAINING,
        device_bytes=case.weight_bytes * largest if used else 0,
        formula=f"{case.weight_bytes} B x {largest:,} of the largest tensor",
        source="deepspeed 0.19.8 stage_1_and_2.py `temp_grad_buffer_for_gpu_offload`",
        kind="exact",
    )


def persistent_parameters(case: Case) -> MemoryTerm:
    """Stage 3 keeps tensors of at most param_persistence_threshold elements whole: b x their sum."""
    elements, threshold = case.persistent if case.gathers else 0, case.job.zero.param_persistence_threshold
    return MemoryTerm(
        name="parameters kept whole",
        phases=TRAINING,
        device_bytes=case.weight_bytes * elements,
        formula=f"{case.weight_bytes} B x {elements:,} in tensors of up to {threshold:,}",
        source=_PARTITION,
        kind="exact",
    )


def gathered_weights(case: Case) -> tuple[MemoryTerm, ...]:
    """Stage 3: b x the weights that are whole at once; nothing when one rank has all of them on its device.

    Every module's hook prefetches at least one tensor, so prefetching runs ahead until max_live_parameters are whole:
    that many at the loss, or the head and what max_reuse_distance keeps, if that is more. Backward starts without the
    head, and ends with the embedding and two layers. Counted in stored elements: four 4-bit weights are one.
    """
    if not case.gathers:
        return ()
    stored, layer = _stored_elements(case), _layer_elements(case)
    live = min(case.job.zero.max_live_parameters, stored)
    kept = min(case.job.zero.max_reuse_distance // 2, case.shape.num_layers * layer)
    head, embedding = case.inventory.head, case.inventory.embedding
    at_loss = min(stored, max(live, head + kept))
    at_start = min(stored, max(live - head, 2 * layer + kept))
    at_end = min(stored, embedding + 2 * layer)
    return (
        _gathered(case, FORWARD, ("loss",), at_loss, "live or head and kept"),
        _gathered(case, ("step",), ("backward start",), at_start, "live without the head, or 2 layers and kept"),
        _gathered(case, ("step",), ("backward end",), at_end, "embedding and 2 layers"),
        _gathered(case, ("eval",), (), min(stored, max(live, head)), "live or head"),
    )


def _gathered(
    case: Case, phases: tuple[Phase, ...], moments: tuple[Moment, ...], elements: int, what: str
) -> MemoryTerm:
    return MemoryTerm(
        name="gathered weights",
        phases=phases,
        moments=moments,
        device_bytes=case.weight_bytes * elements,
        formula=f"{case.weight_bytes} B x {elements:,} ({what})",
        source=f"{_PARTITION}; status of every parameter read on a CPU run with two ranks",
        kind="bound",
        low=0.6,
        high=1.1,
    )


def prefetch_bucket(case: Case) -> MemoryTerm:
    """b x prefetch_bucket_size: tensors gathered together are copied out of one flat buffer."""
    size = min(case.job.zero.prefetch_bucket_size, _stored_elements(case)) if case.gathers else 0
    return MemoryTerm(
        name="prefetch bucket",
        phases=(*FORWARD, "eval"),
        moments=BACKWARD,
        device_bytes=case.weight_bytes * size,
        formula=f"{case.weight_bytes} B x {size:,} elements",
        source=f"{_PARTITION}; 2 B per element measured on a CPU run",
        kind="bound",
        low=0.0,
    )


def _stored_elements(case: Case) -> int:
    inventory = case.inventory
    return inventory.num_trainable + inventory.num_frozen + inventory.num_packed


def _layer_elements(case: Case) -> int:
    layers = max(1, case.shape.num_layers)
    return case.inventory.layer - case.inventory.num_quantized // layers + case.inventory.num_packed // layers


def zenflow_columns(case: Case) -> MemoryTerm:
    """ZenFlow keeps the chosen columns on the device: weight, gradient and two moments in b each, of topk_ratio N_t."""
    elements = int(ZENFLOW_TOPK * case.inventory.num_trainable) if case.job.zero.zenflow else 0
    return MemoryTerm(
        name="ZenFlow's chosen columns",
        phases=TRAINING,
        device_bytes=4 * case.weight_bytes * elements,
        formula=f"4 x {case.weight_bytes} B x {ZENFLOW_TOPK:g} x {case.inventory.num_trainable:,}",
        source="deepspeed 0.19.8 ops/adam/zenflow_torch_adam.py",
        kind="bound",
        low=0.5,
        high=1.5,
    )
