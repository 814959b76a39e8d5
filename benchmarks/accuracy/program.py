"""What a replay of training steps needs to know of a job."""

from __future__ import annotations

from dataclasses import dataclass

from tunekit.memory.layer_code import Widths


@dataclass(frozen=True, slots=True, kw_only=True)
class Program:
    """What a replay needs of a job; widths in elements, `tokens` and `rows` of a micro-batch."""

    tokens: int
    rows: int
    layers: int
    vocab: int
    size: Widths
    residual: int = 2
    full: bool = False
    checkpointing: bool = True
    fused_norms: bool = False
    fused_loss: bool = False
    logits: str = "current"
    """How all logits are made: `early` (before transformers 4.46), `late`, `current` (since 4.50), or `none`."""
    adapted: frozenset[str] = frozenset()
    rank: int = 16
    dropout: bool = False
    wide_adapters: bool = False
    """Adapters cast their input to float32 first, as PEFT does for a base in 16 bits."""
    autocast: bool = True
    scores: int = 0
    """Bytes per token that eager attention keeps of its scores; as much again passes by."""
    repeats_values: bool = False
    dequantises: bool = False
    holds_inputs: bool = False
    ranks: int = 1
    """Processes that share every layer's gradients, weights and states; 1 where each keeps all."""
    ends: int = 0
    """Elements of embedding and head, where they are trained."""
    gradient_bytes: int = 2
    state_copies: float = 0.0
    """States of the optimizer in copies of the gradients, made in its first step."""
    step_copies: float = 0.0
    steps: int = 3
    lengths: tuple[int, ...] = ()
    """Tokens of every step, where they change; they take the place of `tokens` and `steps`."""
