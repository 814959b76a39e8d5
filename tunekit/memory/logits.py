"""The language-model head and the loss: often the largest single allocation of a step."""

from __future__ import annotations

from tunekit.memory.case import Case
from tunekit.memory.layer_bytes import final_norm_saved
from tunekit.memory.layer_code import widths
from tunekit.memory.model_states import FORWARD
from tunekit.memory.terms import MemoryTerm

TOKEN_TILE = 4096
"""Tokens per tile: `TOKEN_CHUNK_SIZE` in trl 1.16 kernels/chunked_logprob.py."""
VOCABULARY_TILE = 32768
"""Columns per tile: `_CHUNKED_LOGPROB_CHUNK_SIZE` in trl 1.16 trainer/utils.py."""
_CHUNKED = "trl 1.16 kernels/chunked_logprob.py `ChunkedLogProbFunction`, trainer/utils.py `add_fused_lm_head`"
_FULL = "transformers 5.23 loss/loss_utils.py `ForCausalLMLoss`: logits in 32 bits, softmax and its gradient"


def tile_tokens(case: Case) -> int:
    """Tokens that one tile of the chunked loss holds."""
    return min(case.tokens, TOKEN_TILE)


def loss(case: Case) -> MemoryTerm:
    """The loss and its backward; see `chunked_loss` and `full_loss`."""
    return chunked_loss(case) if case.job.loss == "chunked" else full_loss(case)


def full_loss(case: Case) -> MemoryTerm:
    """12 V + 4 h bytes per token: float32 log-softmax, its gradient and the gradient of the logits; the final norm.

    8 h where all weights are trained: the norm's product and the head's input. 14 V when the trainer keeps the model's
    outputs alive.
    """
    vocabulary, hidden, practice = case.shape.vocab_size, case.shape.hidden_size, case.practice
    norm = practice.loss_hidden_bytes
    norm = final_norm_saved(case) + 2 * int(case.inventory.head_is_trained) if norm is None else norm
    logit = practice.logit_bytes + 2 * int(widths(case.shape).code.caps_logits)
    each = round(logit * vocabulary + norm * hidden)
    return MemoryTerm(
        name="logits and loss",
        phases=FORWARD,
        moments=("loss",),
        device_bytes=each * case.tokens,
        formula=f"({logit:g} B x {vocabulary:,} vocabulary + {norm:g} B x {hidden:,}) x {case.tokens:,} tokens",
        source=_FULL,
        kind="calibrated",
        low=10 / 12,
        high=14 / 12,
    )


def chunked_loss(case: Case) -> MemoryTerm:
    """One tile b x min(T, 4096) x 32768; per token 4 h of the final norm (6 h trained), 8 h of hidden states.

    The gradient of the hidden states is summed in float32 (4 h) and cast (2 h); the scored positions are copied (2 h).
    Without Triton the tile is folded by torch operations, 29 bytes per element more (31 traced on the CPU).
    """
    columns = min(case.shape.vocab_size, VOCABULARY_TILE) if case.on_cpu else VOCABULARY_TILE
    each = case.weight_bytes + (29 if case.on_cpu else 0)
    tile = each * tile_tokens(case) * columns
    width = (8 + final_norm_saved(case)) * case.weight_bytes // 2
    return MemoryTerm(
        name="chunked loss",
        phases=FORWARD,
        moments=("loss",),
        device_bytes=tile + width * case.shape.hidden_size * case.tokens,
        formula=(
            f"{each} B x {tile_tokens(case):,} tokens x {columns:,} columns"
            f" + {width} B x {case.shape.hidden_size:,} x {case.tokens:,} tokens"
        ),
        source=_CHUNKED,
        kind="bound",
        low=0.8,
    )


def head_gradient(case: Case) -> MemoryTerm:
    """4 V h: the chunked loss sums a trained head's gradient in float32 before it is cast."""
    used = case.job.loss == "chunked" and case.inventory.head_is_trained
    return MemoryTerm(
        name="float32 gradient of the head",
        phases=("step",),
        moments=("loss",),
        device_bytes=4 * case.inventory.head if used else 0,
        formula=f"4 B x {case.inventory.head:,}",
        source=_CHUNKED,
        kind="exact",
    )


def evaluation_loss(case: Case) -> MemoryTerm:
    """Without gradients: a tile and the hidden states, or 10 V per token of full logits in 16, 32 and 32 bits."""
    tokens, hidden, vocabulary = case.tokens, case.shape.hidden_size, case.shape.vocab_size
    if case.job.loss == "chunked":
        columns = min(vocabulary, VOCABULARY_TILE) if case.on_cpu else VOCABULARY_TILE
        each = case.weight_bytes + (20 if case.on_cpu else 0)
        size = each * tile_tokens(case) * columns + 4 * hidden * tokens
        formula = f"{each} B x {tile_tokens(case):,} tokens x {columns:,} columns + 4 B x {hidden:,} x {tokens:,}"
    else:
        size = 10 * vocabulary * tokens
        formula = f"10 B x {vocabulary:,} vocabulary x {tokens:,} tokens"
    return MemoryTerm(
        name="logits and loss of evaluation",
        phases=("eval",),
        device_bytes=size,
        formula=formula,
        source=_CHUNKED if case.job.loss == "chunked" else _FULL,
        kind="bound",
        low=0.6,
    )
