"""What a plan gives up in quality for speed or room, said plainly, and where it was seen."""

from __future__ import annotations

from typing import Literal, TypeAlias

from tunekit.recipe.job import Job

Loss: TypeAlias = Literal["adapters", "4-bit base", "8-bit base", "bf16 states", "8-bit states"]

MEANING: dict[Loss, str] = {
    "adapters": "trains an adapter instead of every weight: enough for most instruction tuning",
    "4-bit base": "the base is rounded to 4 bits: slightly less exact (QLoRA, 2305.14314, found no loss up to 65B)",
    "8-bit base": "the base is rounded to 8 bits, row by row (LLM.int8, 2208.07339, found no loss up to 175B)",
    "bf16 states": "master weights and moments in bf16: loss 3.12 instead of 3.09 (DeepSpeed, 6.9B)",
    "8-bit states": "moments in 8 bits: as good as 32 in published runs (2110.02861)",
}
WORTH = 1.4
"""What a loss must bring: a plan that gives something up is recommended where it is at least this much better."""


def losses_of(job: Job) -> frozenset[Loss]:
    """Everything that a job gives up."""
    found: set[Loss] = set()
    if job.method != "full":
        found.add("adapters")
    if job.quantization is not None:
        found.add("8-bit base" if job.quantization.bits == 8 else "4-bit base")
    if job.zero.bf16_states:
        found.add("bf16 states")
    if "8bit" in job.optimizer:
        found.add("8-bit states")
    return frozenset(found)


def in_order(losses: frozenset[Loss]) -> tuple[Loss, ...]:
    """The losses in the order of `MEANING`."""
    return tuple(loss for loss in MEANING if loss in losses)
