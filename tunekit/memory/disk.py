"""Bytes on disk: the base model, checkpoints, the final model, and the swap files of NVMe offload."""

from __future__ import annotations

from tunekit.memory.case import Case
from tunekit.memory.model_states import ALWAYS, TRAINING, state_bytes, steps_weights_in_place
from tunekit.memory.terms import MemoryTerm

_CHECKPOINT = "sizes measured on DeepSpeed 0.19.8 checkpoints; transformers 5.23 Trainer adds model.safetensors"


def base_model(case: Case) -> MemoryTerm:
    """2 N: the 16-bit weights in the cache or folder that they are read from."""
    return MemoryTerm(
        name="base model",
        phases=(*ALWAYS, "merge"),
        disk_bytes=2 * case.shape.num_parameters,
        formula=f"2 B x {case.shape.num_parameters:,}{_drive(case)}",
        source="16-bit safetensors",
        kind="bound",
        high=1.05,
    )


def checkpoint_bytes(case: Case) -> int:
    """One checkpoint: the optimizer's master and states, DeepSpeed's copy of the weights, and the model's own file.

    Full: b N file + (4 + 8) N, and in stages 0 to 2 b N of DeepSpeed's module; stage 3 rebuilds it from the master.
    Adapters: the same of N_t alone, frozen parameters excluded; stage 3 keeps the module's file out as well.
    """
    trained = case.inventory.num_trainable
    master = 0 if steps_weights_in_place(case) else case.master_bytes
    optimizer = round((master + state_bytes(case)) * trained)
    module = 0 if case.stage == 3 else case.weight_bytes * trained
    return optimizer + module + case.weight_bytes * trained


def checkpoints(case: Case) -> MemoryTerm:
    """(keep_checkpoints + 1) x one checkpoint: the new one is written before the oldest is removed."""
    count = case.job.keep_checkpoints + 1 if case.job.save_checkpoints else 0
    each = checkpoint_bytes(case)
    return MemoryTerm(
        name="checkpoints",
        phases=("save",),
        disk_bytes=count * each,
        formula=f"({case.job.keep_checkpoints} kept + 1 being written) x {each:,} B{_drive(case)}",
        source=_CHECKPOINT,
        kind="exact",
    )


def final_model(case: Case) -> MemoryTerm:
    """b N for a full model, b N_t for adapters."""
    return MemoryTerm(
        name="final model" if case.job.method == "full" else "final adapter",
        phases=("save",),
        disk_bytes=case.weight_bytes * case.inventory.num_trainable,
        formula=f"{case.weight_bytes} B x {case.inventory.num_trainable:,}",
        source="safetensors",
        kind="exact",
    )


def merged_model(case: Case) -> MemoryTerm:
    """b N: base and adapter as one model, written after the run beside the base."""
    elements = case.shape.num_parameters if case.job.adapter is not None else 0
    return MemoryTerm(
        name="merged model",
        phases=("merge",),
        disk_bytes=case.weight_bytes * elements,
        formula=f"{case.weight_bytes} B x {elements:,}",
        source="16-bit safetensors",
        kind="exact",
    )


def swap_files(case: Case) -> MemoryTerm:
    """Stage 3 on NVMe: (4 + 8 + 4) N_t of master, moments and gradients, and b N of weights, for the whole run."""
    zero, trained = case.job.zero, case.inventory.num_trainable
    each = 2 * case.master_bytes + state_bytes(case)
    optimizer = round(each * trained) if case.stage == 3 and zero.offload_optimizer == "nvme" else 0
    stored = case.weight_bytes * (trained + case.inventory.num_frozen) + 2 * case.inventory.num_packed
    params = stored if case.offloads_param and zero.offload_param == "nvme" else 0
    return MemoryTerm(
        name="swap files of NVMe offload",
        phases=TRAINING,
        disk_bytes=optimizer + params,
        formula=f"{each if optimizer else 0:g} B x {trained:,} + {params:,} B of weights" + _drive(case, swapped=True),
        source="deepspeed 0.19.8 runtime/swap_tensor; 16.0 B and 2.0 B per parameter measured",
        kind="exact",
    )


def _drive(case: Case, *, swapped: bool = False) -> str:
    """Which drive it is counted on, where there are several."""
    drives, swap = case.hardware.disks, case.hardware.swap_disk
    if len(drives) < 2 or swap is None:
        return ""
    return f" on {(swap if swapped else drives[0]).name}"
