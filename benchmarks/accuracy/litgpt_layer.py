"""What a layer of litgpt's own model saves for backward, in bytes per token.

Counted with autograd's saved-tensor hooks on its `Block` (litgpt/model.py, lora.py) in bf16, with masks of dropout as
one byte, as they are on a card: 43.5 h for Llama 2 with LoRA on queries and values, 29.3 h for GPT-NeoX.
"""

from __future__ import annotations

from tunekit.memory.layer_code import Widths
from tunekit.recipe.job import Job

_DROPPED = 3
"""Bytes per element of a dropped input: 2 of its own and 1 of its mask."""


def saved_by_litgpt(job: Job, size: Widths, *, rms: bool, caps: bool) -> int:
    """Bytes per token of one layer. 4-bit linears keep their input (bitsandbytes up to 0.42).

    `caps`: scores are capped and so written out: tanh 2 B, softmax 4 B and its 16-bit copy 2 B of each.
    """
    adapted = set(job.adapter.target_modules) if job.adapter else set()
    full = job.method == "full"
    total = _norms(size, rms=rms, full=full) + _attention(size) + _mlp(size, full=full)
    total += 0 if full else _adapters(size, adapted)
    total += 8 * size.heads * job.max_seq_length if caps else 0
    return total + (4 * size.hidden + 2 * size.ffn if job.method == "qlora" else 0)


def left_of_last_step(job: Job, size: Widths, *, layers: int, vocab: int, rms: bool) -> int:
    """Bytes per token that the name `logits` holds of the last micro-step until the model has returned new ones.

    Old and new float32 logits and new ones in 16 bits are 2 V more than the loss. Inputs of 4-bit linears are
    attributes of their nodes, so that backward does not free them.
    """
    inputs = (2 if rms else 1) * size.hidden + size.queries + size.ffn if job.method == "qlora" else 0
    return 2 * vocab + 2 * layers * inputs


def _norms(size: Widths, *, rms: bool, full: bool) -> int:
    """float32 input, and the normed one where its weight is trained; LayerNorms of parallel branches share an input."""
    if not rms:
        return (2 + (4 if full else 0)) * size.hidden
    return size.norms * (10 if full else 4) * size.hidden


def _attention(size: Widths) -> int:
    """Queries and keys after rotation, output, and values: within the whole projection, or repeated for each head."""
    grouped = size.values != size.queries and size.values * size.heads != size.queries
    values = 2 * size.queries if grouped else 2 * (size.queries + 2 * size.values)
    return 6 * size.queries + values + 4 * size.heads


def _mlp(size: Widths, *, full: bool) -> int:
    return (6 if size.gated else 2) * size.ffn + (2 * size.ffn if full else 0)


def _adapters(size: Widths, adapted: set[str]) -> int:
    """Each adapted linear drops its input for itself; adapters of a part of q, k, v are copied into their places."""
    inner = {"q_proj": size.queries, "k_proj": size.values, "v_proj": size.values}
    chosen = [width for name, width in inner.items() if name in adapted]
    fused = any(name in adapted for name in ("query_key_value", "qkv_proj", "c_attn", "Wqkv"))
    total = _DROPPED * size.hidden if chosen or fused else 0
    if chosen and len(chosen) < len(inner):
        total += 2 * sum(chosen)
    elif fused:
        total += 2 * (size.queries + size.values)
    if adapted & {"o_proj", "dense"}:
        total += _DROPPED * size.queries
    if adapted & {"gate_proj", "up_proj", "dense_h_to_4h", "fc1", "gate_up_proj"}:
        total += _DROPPED * size.hidden * (2 if size.gated else 1)
    if adapted & {"down_proj", "dense_4h_to_h", "fc2"}:
        total += _DROPPED * size.ffn
    return total
