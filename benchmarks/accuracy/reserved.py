"""What torch reserves beyond the tensors of a setting: its steps replayed on torch's caching allocator."""

from __future__ import annotations

from functools import lru_cache
from math import exp, log, sqrt
from statistics import NormalDist

from accuracy.allocator import CachingAllocator, OutOfMemoryError
from accuracy.program import Program
from accuracy.replay import Replay
from accuracy.setting import Setting
from tunekit.memory.case import Case
from tunekit.memory.layer_code import widths
from tunekit.units import MIB

OUTSIDE_BYTES = 600 * MIB
"""Context and kernels, which torch's allocator does not hold."""
_PARTS = ("q", "k", "v", "o", "gate", "up", "down")
_FUSED = {"c_attn": ("q", "k", "v"), "qkv": ("q", "k", "v"), "query_key_value": ("q", "k", "v")}


def program_of(setting: Setting, case: Case) -> Program:
    """The replay of a setting."""
    job, practice = setting.job, setting.practice
    adapter = job.adapter
    full = job.method == "full"
    wide = adapter is not None and setting.states.base == "plain" and setting.states.trained_bytes == 4
    return Program(
        tokens=case.tokens * case.weight_bytes // 2,
        rows=job.batch.micro_batch_size,
        layers=setting.shape.num_layers,
        vocab=setting.shape.vocab_size,
        size=widths(setting.shape),
        residual=case.residual_bytes,
        full=full,
        checkpointing=job.activation_checkpointing,
        fused_norms=practice.fused_norms,
        fused_loss=practice.logit_bytes in (8.0, 10.0),
        logits="none" if job.loss == "chunked" else _logits(practice.logit_bytes, setting.published),
        adapted=_adapted(adapter.target_modules) if adapter else frozenset(),
        rank=adapter.rank if adapter else 0,
        dropout=bool(adapter and adapter.dropout),
        wide_adapters=wide,
        autocast=practice.adapter_input_bytes is None,
        scores=_scores(case),
        repeats_values=practice.repeats_values,
        dequantises=setting.states.base != "plain",
        holds_inputs=practice.layer_input_gradients,
        ranks=job.batch.world_size if setting.engine == "fsdp" else 1,
        ends=case.inventory.embedding + (0 if setting.shape.tied_embeddings else case.inventory.head),
        gradient_bytes=setting.states.trained_bytes,
        state_copies=_state_copies(setting) if full else 0.0,
        lengths=_lengths(case, setting.mean_length),
        step_copies=setting.states.step_copies if full else 0.0,
    )


def _scores(case: Case) -> int:
    """Bytes per token that eager attention keeps of its scores."""
    if case.job.attention != "eager":
        return 0
    return round(case.practice.score_bytes * widths(case.shape).heads * case.job.max_seq_length)


def _state_copies(setting: Setting) -> float:
    moments = setting.states.moment_bytes
    return 2.0 if moments is None else moments / setting.states.trained_bytes


def _logits(logit_bytes: float, published: str) -> str:
    if published >= "2025-03-21":
        return "current"
    return "late" if logit_bytes in (10.0, 14.0) else "early"


def _lengths(case: Case, mean: int) -> tuple[int, ...]:
    """Tokens of 24 steps with rows of changing length: a log-normal spread of 1, without rows over the maximum.

    The golden ratio's multiples take its quantiles evenly and out of order. Blocks that were cut for one length serve
    the next one badly, so that far more is reserved than one step needs.
    """
    if not mean:
        return ()
    rows = max(1, case.tokens // case.job.max_seq_length)
    spread = NormalDist(log(mean) - 0.5, 1.0)
    kept = spread.cdf(log(case.job.max_seq_length))
    parts = ((step * _GOLDEN) % 1 for step in range(1, _STEPS + 1))
    return tuple(rows * max(16, int(exp(spread.inv_cdf(kept * part)))) for part in parts)


_GOLDEN = (sqrt(5) - 1) / 2
_STEPS = 24


def _adapted(modules: tuple[str, ...]) -> frozenset[str]:
    found: set[str] = set()
    for module in modules:
        name = module.removesuffix("_proj")
        found |= set(_FUSED.get(name, (name,) if name in _PARTS else ()))
    return frozenset(found)


def in_other_pools(setting: Setting, case: Case) -> int:
    """What FSDP takes outside the pool of the step: NCCL, and layers gathered ahead on a stream of their own.

    Up to three layers are whole at once, of which the tensors' peak counts one.
    """
    if setting.engine != "fsdp" or case.world_size == 1:
        return 0
    inventory, layers = case.inventory, max(1, setting.shape.num_layers)
    packed = {"nf4": 0.5, "gptq": 0.5, "int8": 1.0}.get(setting.states.base, 0.0) * inventory.num_quantized
    quantized = inventory.num_quantized if setting.states.base != "plain" else 0
    layer = case.weight_bytes * (inventory.layer - quantized // layers) + packed / layers
    return round(2 * layer) + NCCL_BYTES


NCCL_BYTES = 1000 * MIB
"""NCCL's communicators and buffers of cards joined by NVLink."""


def reserved_beyond(program: Program, resting: int, limit: int) -> int:
    """Bytes reserved at the peak beyond the peak of the tensors, beside `resting` bytes, on a card with `limit`."""
    return _replayed(program, resting, limit)[0]


def runs_out(program: Program, resting: int, limit: int) -> bool:
    """Whether the replay finds no room for one of its tensors."""
    return _replayed(program, resting, limit)[1]


@lru_cache(maxsize=4096)
def _replayed(program: Program, resting: int, limit: int) -> tuple[int, bool]:
    memory = CachingAllocator(limit=limit)
    try:
        memory.take(resting)
        Replay(program, memory).run()
    except OutOfMemoryError:
        return max(0, limit - max(memory.peak_allocated, resting)), True
    return memory.peak_reserved - memory.peak_allocated, False
