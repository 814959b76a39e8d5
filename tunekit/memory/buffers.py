"""What ZeRO allocates beside the model states, on one device: buckets, gathered weights, persistent parameters."""

from __future__ import annotations

from tunekit.memory.case import Case
from tunekit.memory.model_states import BACKWARD, TRAINING
from tunekit.memory.terms import MemoryTerm

_PARTITION = "deepspeed 0.19.8 runtime/zero/partition_parameters.py, partitioned_param_coordinator.py"
ZENFLOW_TOPK = 0.1
"""`zenflow.topk_ratio` of the preset: the share of columns that stays on the device."""


def reduce_bucket(case: Case) -> MemoryTerm:
    """b x reduce_bucket_size, in backward and twice with overlap_comm in stages 1 and 2; for ever in stage 3."""
    copies = {0: 0, 3: 1}.get(case.stage, 2 if case.job.zero.overlap_comm else 1)
    size = case.job.zero.reduce_bucket_size
    return MemoryTerm(
        name="reduce bucket",
        phases=TRAINING if case.stage == 3 else ("step",),
        moments=() if case.stage == 3 else BACKWARD,
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


def layer_bytes(case: Case) -> int:
    """Stored bytes of the largest layer: its 4-bit part at half a byte, the rest at b."""
    packed = case.inventory.num_quantized // max(1, case.shape.num_layers)
    return case.weight_bytes * (case.inventory.layer - packed) + packed // 2


def gathered_weights(case: Case) -> MemoryTerm:
    """Stage 3: b x embedding and untied head + 2 layers + 2 b prefetch_bucket + b max_reuse_distance / 2.

    Two layers because the next is fetched while one computes; the prefetched bucket and its copy; and what stays from
    forward to backward. Never more than the model, all but the rank's own share of it; nothing when one rank has all.
    """
    zero, width = case.job.zero, case.weight_bytes
    ends = width * (case.shape.count("embedding") + case.shape.count("head"))
    layers = case.shape.num_layers * layer_bytes(case)
    reuse = min(width * zero.max_reuse_distance // 2, layers)
    prefetch = min(2 * width * zero.prefetch_bucket_size, layers)
    whole = ends + layers
    total = min(ends + 2 * layer_bytes(case) + prefetch + reuse, whole)
    return MemoryTerm(
        name="gathered weights",
        phases=("step", "eval"),
        moments=BACKWARD,
        device_bytes=total if case.gathers else 0,
        formula=(
            f"embedding and head {ends:,} B + 2 layers {2 * layer_bytes(case):,} B + prefetch {prefetch:,} B"
            f" + kept for reuse {reuse:,} B, at most the model {whole:,} B"
        ),
        source=f"{_PARTITION}; reuse and prefetch read off live tensors",
        kind="bound",
        low=0.5,
    )


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
