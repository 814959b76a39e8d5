"""Host RAM while files are written: what of a card's tensors is copied to RAM on the way."""

from __future__ import annotations

from tunekit.memory.case import Case
from tunekit.memory.model_states import steps_weights_in_place, sub_groups_on_device
from tunekit.memory.terms import MemoryTerm
from tunekit.units import GB

SAVE_FILE_BYTES = 2 * GB
"""Largest safetensors file the worker writes: a file's tensors are copied to RAM together."""


def saving(case: Case) -> MemoryTerm:
    """The larger of what the model's files need and what a checkpoint's states need: one is written after the other."""
    model, states = model_copies(case), checkpoint_copies(case)
    return MemoryTerm(
        name="tensors being saved",
        phases=("save",),
        host_bytes=max(model, states),
        formula=f"max({model:,} B of the model's files on rank 0, {states:,} B of the states' files on all ranks)",
        source="tunekit/worker/saving.py and storages.py; torch 2.13 serialization.py `_save`; live copies counted",
        kind="bound" if states > model else "exact",
        low=0.5 if states > model else 1.0,
    )


def model_copies(case: Case) -> int:
    """b N_t of adapters, or one file of a full model, on rank 0; stage 3 is gathered tensor by tensor on the way.

    Nobody copies a frozen base: transformers' own save, which the worker replaces, would on every rank below stage 3.
    A file is at most 2 GB, or the largest tensor. On the CPU only stage 3 has anything to copy.
    """
    if case.stage < 3 and case.on_cpu:
        return 0
    size = case.weight_bytes * case.inventory.num_trainable
    if case.job.method == "full":
        return min(size, max(SAVE_FILE_BYTES, case.weight_bytes * case.inventory.largest_model_tensor))
    return size


def checkpoint_copies(case: Case) -> int:
    """P x the largest storage that a rank's card holds of what DeepSpeed writes; on the CPU nothing is copied.

    `torch.save` copies a card's storages to RAM one after the other, and all ranks write at the same time. The weights
    have a storage each (`tunekit/worker/storages.py`) and are rank 0's alone.
    """
    if case.on_cpu or not case.job.save_checkpoints:
        return 0
    module = case.weight_bytes * case.inventory.largest_trainable if case.stage < 3 else 0
    writers = case.world_size if case.stage else 1
    return max(module, writers * largest_state(case))


def largest_state(case: Case) -> int:
    """m x the largest flat master on a rank's device, which moments do not exceed; stage 0: m x the largest tensor.

    What is offloaded is in RAM already. Flat is a parameter group's share in stages 1 and 2, a sub-group in stage 3.
    """
    width = case.weight_bytes if steps_weights_in_place(case) else case.master_bytes
    if case.stage == 0:
        return width * case.inventory.largest_trainable
    return width * max(_flat_on_device(case), default=0)


def _flat_on_device(case: Case) -> tuple[int, ...]:
    """Elements of each flat master that the device holds."""
    if case.offloads_optimizer:
        return sub_groups_on_device(case)
    return case.sub_groups if case.stage == 3 else case.group_partitions
