"""How the program that trains goes about it, where a job does not say; the defaults are tunekit's own worker."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Habits:
    """Habits of a training program that decide seconds; published measurements come from other programs."""

    fused: bool = False
    """Norms, rotary positions, gates and residuals run as single kernels (torch.compile, Triton, Apex)."""
    rotary_bytes: int = 20
    """Bytes per element of queries and keys that rotary positions move; 0 for learned positions."""
    loss_bytes: float = 30.0
    """Bytes moved per logit by a loss that has all logits: 16 bits, float32 copy, log-softmax, both gradients."""
    dequant_bytes: float = 2.56
    """Bytes moved to unpack one 4-bit weight: 0.5 and its scale read, 2 written."""
    unpack_kernels: int = 2
    """Kernels that unpack the weight of one linear."""
    adapter_bytes: int = 2
    """Width of what adapters compute in."""
    attention_share: float = 1.0
    """Of FlashAttention-2's rate: 0.5 for kernels of the first generation, for dense masks in memory-efficient ones."""
    launches: float = 1.0
    """Kernels issued, as a share of those eager transformers code issues."""
    gathers: int = 2
    """How often sharded weights are collected in a pass: forward and backward."""
    keeps_gathered: bool = False
    """Weights stay whole between forward and backward."""
    reduce_bytes: int | None = None
    """Width of gradients while they are added up over ranks, None for the weights' own."""
    trained_whole: bool = False
    """What is trained is replicated although the base is sharded; its gradients are reduced once a step."""
    stages: int = 1
    """Pipeline stages that the cards form."""
    pipelined: bool = True
    """Whether stages work at the same time on different micro-batches; layers merely split over cards take turns."""
    full_rows: bool = False
    """Every row is as long as the longest, as in benchmarks; else lengths of padded rows are spread evenly."""
    step_seconds: float | None = None
    """Seconds around an optimizer step, None for the machine's own."""


WORKER = Habits()
"""tunekit's own worker: DeepSpeed, TRL and PEFT on eager transformers code."""
