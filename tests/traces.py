"""Requests and answers of traces for tests: small models, and a trace that nobody ran."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from tunekit.memory.tracing import Trace, TracedModule, TracedPhase, TraceRequest
from tunekit.recipe.job import Adapter
from tunekit.units import GIB

LLAMA = {
    "model_type": "llama",
    "hidden_size": 256,
    "intermediate_size": 704,
    "num_attention_heads": 8,
    "num_key_value_heads": 2,
    "vocab_size": 512,
    "max_position_embeddings": 4096,
    "num_hidden_layers": 2,
    "tie_word_embeddings": False,
}
LORA = Adapter(rank=8, alpha=16, dropout=0.0, target_modules=("q_proj", "v_proj", "down_proj"))
REQUEST = TraceRequest(
    model="test/llama",
    config=LLAMA,
    adapter=None,
    method="full",
    accelerator="cuda",
    precision="bf16",
    attention="sdpa",
    micro_batch_size=1,
    max_seq_length=64,
    packing=False,
    activation_checkpointing=False,
    loss="full",
)
TRACE = Trace(
    phases=(
        TracedPhase(name="forward", activation_bytes=2 * GIB, with_gradients_bytes=2 * GIB),
        TracedPhase(name="loss", activation_bytes=3 * GIB, with_gradients_bytes=3 * GIB),
        TracedPhase(name="backward", activation_bytes=4 * GIB, with_gradients_bytes=5 * GIB),
        TracedPhase(name="eval", activation_bytes=GIB, with_gradients_bytes=GIB),
    ),
    modules=tuple(TracedModule(name=f"layers.*.part{index}", count=2, bytes=GIB // 4) for index in range(12)),
    num_layers=80,
    depths=(80,),
    kernels=("flash (in torch)",),
    seconds=12.3,
    rss_bytes=GIB,
)


def a_request(**changes: Any) -> TraceRequest:
    """A full fine-tuning step of a small llama in one row; what is named is another, `config` is added to its own."""
    config = {**LLAMA, **changes.pop("config", {})}
    return replace(REQUEST, config=config, **changes)
