"""Host RAM while files are written: what of a card's tensors is copied to RAM on the way."""

from __future__ import annotations

from tunekit.memory.case import Case
from tunekit.memory.terms import MemoryTerm
from tunekit.units import GB

SAVE_FILE_BYTES = 2 * GB
"""Largest safetensors file the worker writes: a file's tensors are copied to RAM together."""


def saving(case: Case) -> MemoryTerm:
    """b N_t of adapters, or one file of a full model, on rank 0; stage 3 is gathered tensor by tensor on the way.

    Nobody copies a frozen base: transformers' own save, which the worker replaces, would on every rank below stage 3.
    A file is at most 2 GB, or the largest tensor.
    """
    elements = case.inventory.num_trainable
    size, what = case.weight_bytes * elements, f"{case.weight_bytes} B x {elements:,} on rank 0"
    file = max(SAVE_FILE_BYTES, case.weight_bytes * case.inventory.largest_model_tensor)
    if case.stage < 3 and case.on_cpu:
        size = 0
    elif case.job.method == "full":
        size, what = min(size, file), f"min({what}, {file:,} B of one file)"
    return MemoryTerm(
        name="weights being saved",
        phases=("save",),
        host_bytes=size,
        formula=what,
        source="tunekit/worker/saving.py; safetensors copies a card's tensors to RAM file by file",
        kind="exact",
    )
