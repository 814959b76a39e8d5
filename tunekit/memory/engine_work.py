"""What DeepSpeed allocates for a moment: while its engine is built, measures gradients, and steps.

n is a rank's share of the trained elements, b and m the widths of weights and masters. Read in DeepSpeed 0.19.8; the
engine's start held against resident sets of two CPU processes.
"""

from __future__ import annotations

from tunekit.memory.case import Case
from tunekit.memory.model_states import stage_source, state_bytes, steps_weights_in_place, sums_in_a_buffer
from tunekit.memory.terms import MemoryTerm
from tunekit.recipe.schema import Optimizer

ADAM_TEMPORARIES = 2
NORM_BYTES, NORM_ELEMENTS = 8, 250_000_000
_UNFUSED_TEMPORARIES: dict[Optimizer, int] = {"adafactor": 2, "lion": 1}
"""Whole-partition temporaries, in copies of the master, of optimizers that do not update in place."""


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


def norm_bytes(case: Case) -> int:
    """8 x the largest gradient of a rank: DeepSpeed takes norms in float64 (`get_norm_dtype`), not in stage 0.

    Stage 3 measures an offloaded gradient in pieces of 250 million elements (`_constant_buffered_norm2`).
    """
    largest = case.inventory.largest_trainable
    if case.stage == 3:
        share = -(-largest // case.world_size)
        return NORM_BYTES * (min(share, NORM_ELEMENTS) if case.offloads_optimizer else share)
    return NORM_BYTES * min(largest, max(case.group_partitions, default=0)) if case.stage else 0


def optimizer_step(case: Case) -> MemoryTerm:
    """What the step allocates on top: g n for the flat gradient and 4 n for its cast, of one group or sub-group.

    AdamW is fused and updates in place; torch's own, which a JSON may ask for, takes 8 n more. An optimizer with
    temporaries works on the cast when the flat copy is gone and, in stages 1 and 2, after the kept gradients were
    released. Before all that gradients are measured: 8 B x the largest, where that is more. Nothing with offload.
    Stage 0: 4 N_t. Where stage 1 steps out of its fp32 buffer: none of these, but the pass's own gradients, b N_t.
    """
    piece, buffered = _largest_stepped(case), sums_in_a_buffer(case)
    flat = 0 if case.stage == 0 or buffered else case.gradient_bytes * piece
    cast = 0 if case.gradient_bytes == case.master_bytes else case.master_bytes * piece
    norm = 0 if buffered or case.offloads_optimizer else norm_bytes(case)
    narrow = case.weight_bytes * case.inventory.num_trainable if buffered else 0
    copies = ADAM_TEMPORARIES if case.job.zero.unfused_adam else _UNFUSED_TEMPORARIES.get(case.job.optimizer, 0)
    released = flat if case.stage in (1, 2) else 0
    updating = max(flat, cast) + copies * case.master_bytes * piece - released
    return MemoryTerm(
        name="optimizer step",
        phases=("optimizer",),
        device_bytes=max(flat + cast, updating, norm) + narrow,
        formula=f"max({flat:,} B of flat gradient + {cast:,} B of its cast, {updating:,} B while {piece:,} elements "
        f"are updated, {norm:,} B of a gradient in float64)"
        + (f" + {narrow:,} B of the pass's gradients" if buffered else ""),
        source=stage_source(case),
        kind="exact",
    )


def _largest_stepped(case: Case) -> int:
    """Elements stepped at once on the device: all in stage 0, a group's share in 1 and 2, a sub-group in 3."""
    if case.offloads_optimizer or steps_weights_in_place(case):
        return 0
    if case.stage == 0:
        return case.inventory.num_trainable
    return max(case.sub_groups if case.stage == 3 else case.group_partitions, default=0)
