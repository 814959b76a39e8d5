"""How the program that trains goes about it, where a job does not say: the defaults are tunekit's own worker.

Published measurements come from other programs. Each of their habits is a field here, so that the same terms describe
them and nothing is tuned to a source.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Practice:
    """Habits of a training program that decide bytes."""

    residual_bytes: int | None = None
    """Bytes per element of the residual stream, None for the weights' own; 4 where embeddings or norms are up-cast."""
    logit_bytes: float = 12.0
    """Bytes per logit alive at the peak of a loss that has all logits."""
    loss_hidden_bytes: float | None = None
    """Bytes per hidden element beside the logits, None for 6 of a frozen and 9 of a trained final norm."""
    fused_norms: bool = False
    """A kernel of its own for norms keeps nothing but their input, which the residual stream keeps anyway."""
    checkpoints_in_ram: bool = False
    """Checkpoints of activations are moved to host RAM: two layers' stay on the device."""
    adapter_input_bytes: int | None = None
    """Bytes per input element that each adapted linear keeps for itself: 4 where adapters are float32 without
    autocast; None where they share the 16-bit input with the base, 0 where none is kept."""
    keeps_products: bool = False
    """Selective checkpointing: attention's output and every second product of matrices are kept beside the input."""
    layer_input_gradients: bool = False
    """All layers' inputs and their gradients stay alive until backward has ended (FSDP 1 with a frozen base)."""
    score_bytes: float = 6
    """Bytes per head and attended token that eager attention saves."""
    autocast_norms: bool = False
    """Norms run under autocast: inputs and outputs in float32, and a 16-bit copy for the linear that follows."""
    repeats_values: bool = False
    """Keys and values are repeated for every head before attention, also where its kernel would not need it."""
    keeps_cache: bool = False
    """Keys and values of every layer stay in a cache beside what attention saves."""
    layer_bytes: int | None = None
    """Bytes per token that a layer saves, where the program has a model of its own whose tensors were counted."""
    merges_experts: bool = True
    """Adapters on fused experts are added to the weights for each forward, as PEFT does."""
    experts_in_turn: bool = False
    """A mixture's experts run one after the other, as transformers had them before version 5."""


WORKER = Practice()
"""tunekit's own worker: DeepSpeed, TRL and PEFT, all in the engine's type."""
