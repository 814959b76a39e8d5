"""What DeepSpeed allocates for a moment: while its engine is built, and while it measures gradients.

n is a rank's share of the trained elements, b and m the widths of weights and masters. Read in DeepSpeed 0.19.8; the
engine's start held against resident sets of two CPU processes.
"""

from __future__ import annotations

from tunekit.memory.case import Case
from tunekit.memory.model_states import NORM_BYTES, norm_bytes, stage_source, state_bytes, steps_weights_in_place
from tunekit.memory.terms import MemoryTerm


def masters_being_made(case: Case) -> MemoryTerm:
    """While the engine is built, beside the masters themselves.

    Stage 0 takes an empty step with zero gradients: (b + m + states) N_t. Stages 1 and 2 set zero gradients of m n, or
    copy b n of a group whose master goes to RAM (a blocking copy is cast there). Stage 3 makes zeros of its largest
    sub-group, m each, where its optimizer is. On a CPU the heap keeps the weights that the flat copy replaced, b N_t,
    while stages 1 and 2 copy b n of them: resident sets of two processes stay at that while live tensors fall.
    """
    size = _at_start(case)
    in_ram = case.stage == 3 and case.offloads_optimizer
    return MemoryTerm(
        name="masters being made",
        phases=("load",),
        moments=("masters",),
        device_bytes=0 if in_ram else size,
        host_bytes=case.world_size * size if in_ram else 0,
        formula=f"{case.world_size} ranks x {size:,} B of copies and zeros"
        if in_ram
        else f"{size:,} B of copies and zeros",
        source=f"{stage_source(case)} `initialize_optimizer_states`",
        kind="bound",
        low=0.5,
    )


def _at_start(case: Case) -> int:
    if case.stage == 0:
        each = 0 if steps_weights_in_place(case) else case.weight_bytes + case.master_bytes + state_bytes(case)
        return round(each * case.inventory.num_trainable)
    if case.stage == 3:
        return case.master_bytes * max(case.sub_groups, default=0)
    if not case.offloads_optimizer:
        replaced = case.weight_bytes * (case.inventory.num_trainable + case.partition) if case.on_cpu else 0
        return max(case.master_bytes * case.partition, replaced)
    largest = max(case.group_partitions, default=0)
    return case.weight_bytes * largest


def gradient_norm(case: Case) -> MemoryTerm:
    """8 x the largest gradient of a rank, in float64: in backward with offload. Without, see the optimizer's step."""
    size = norm_bytes(case) if case.offloads_optimizer else 0
    return MemoryTerm(
        name="gradient measured in float64",
        phases=("step",),
        moments=("backward end",),
        device_bytes=size,
        formula=f"{NORM_BYTES} B x {size // NORM_BYTES:,} of the largest tensor's share",
        source=f"{stage_source(case)} `set_norm_for_param_grad_in_gpu`",
        kind="bound",
        low=0.0,
    )
