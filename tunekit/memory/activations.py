"""Activations of transformers' decoder layers in bytes per token, and what attention and 4-bit weights add.

Coefficients count the tensors that autograd saves in transformers 5.23's code (saved-tensor hooks), in bf16. Symbols:
h hidden, f feed-forward width (of the active experts), a heads, q and v width of all query and key/value heads,
L layers, T tokens of a micro-batch, S tokens of a row, r rank.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

from tunekit.memory.case import Case
from tunekit.memory.terms import Kind, MemoryTerm, Moment
from tunekit.model_shape.adapters import adapter_tensors
from tunekit.model_shape.shape import ModelShape
from tunekit.recipe.job import Adapter

_SAVED = "tensors saved by autograd in transformers 5.23 decoder layers"
_LAYER_NORM_FAMILIES = frozenset({"gpt_neox", "falcon", "stablelm", "olmo", "phi", "gpt2", "opt", "mpt"})
"""torch's layer_norm saves its 16-bit input; RMSNorm in transformers saves a 32-bit copy of it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Widths:
    """Elements per token of the parts of one layer."""

    hidden: int
    ffn: int
    queries: int
    values: int
    """Width of all key heads, and of all value heads."""
    heads: int
    norms: int
    rms: bool
    head_norms: bool
    gated: bool
    experts: int
    routed: int
    """Experts per token, 0 in a dense model."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AdapterReach:
    """What adapters make autograd save in one layer: whose inputs, and how many ranks and inputs in all."""

    attention_input: bool
    mlp_input: bool
    down_input: bool
    ranks: int
    inputs: int


@lru_cache(maxsize=512)
def widths(shape: ModelShape) -> Widths:
    """The widths of a model's layers; a mixture counts its active experts."""
    names = [each for each in shape.tensors if each.role == "norm" and "{layer}" in each.name and each.first_layer == 0]
    norms = sum(1 for each in names if each.shape[-1] == shape.hidden_size and each.name.endswith("weight"))
    routed = shape.experts_per_token if shape.num_experts else 0
    return Widths(
        hidden=shape.hidden_size,
        ffn=shape.ffn_size * max(1, routed),
        queries=shape.num_heads * shape.head_dim,
        values=shape.num_kv_heads * shape.head_dim,
        heads=shape.num_heads,
        norms=max(2, norms) if shape.family != "falcon" else max(1, norms),
        rms=shape.family not in _LAYER_NORM_FAMILIES,
        head_norms=any("q_norm" in each.name for each in names),
        gated=shape.gated_mlp,
        experts=shape.num_experts,
        routed=routed,
    )


@lru_cache(maxsize=512)
def adapter_reach(shape: ModelShape, adapter: Adapter | None) -> AdapterReach:
    """Which inputs the adapters of the widest layer keep alive."""
    inner = adapter_tensors(shape, adapter) if adapter else ()
    sides = [each for each in inner if "{layer}" in each.name and "lora_A" in each.name and each.first_layer == 0]
    attention = [each for each in sides if "attn" in each.name or "attention" in each.name]
    other = [each for each in sides if each not in attention]
    return AdapterReach(
        attention_input=bool(attention),
        mlp_input=any(each.shape[-1] == shape.hidden_size for each in other),
        down_input=any(each.shape[-1] != shape.hidden_size for each in other),
        ranks=sum(each.shape[-2] for each in sides),
        inputs=sum(each.shape[-1] for each in sides),
    )


def row_length(case: Case) -> int:
    """S: tokens that attend to one another; packing joins the rows of a micro-batch into one (padding-free)."""
    return case.tokens if case.job.packing else case.job.max_seq_length


def has_dense_mask(case: Case) -> bool:
    """Whether attention gets a mask of S x S: packed or padded rows under sdpa, always under eager."""
    if case.job.attention == "eager":
        return True
    return case.job.attention == "sdpa" and (case.job.packing or case.job.batch.micro_batch_size > 1)


def saved_per_layer(case: Case) -> int:
    """Bytes per token that one layer saves for backward.

    Full: 16h + 4q + 4v + 8f + 4a + 8. Frozen 16-bit or 4-bit base: 8h + 4q + 4v + 6f + 4a + 8, plus 2h where inputs
    of attention or feed-forward are adapted, 2f where the down projection is, 2r per adapter. Without a gate 4f and
    2f instead of 8f and 6f; torch's layer_norm saves 2h where RMSNorm saves 4h. fp32 doubles all (bound).
    """
    size = widths(case.shape)
    full = case.job.method == "full"
    total = _norm_bytes(size, full) + _attention_bytes(case, size) + _mlp_bytes(size, full) + _routing_bytes(size) + 8
    total += 4 * size.hidden if full else _adapter_bytes(case, size)
    return total * case.weight_bytes // 2


def layer_phase(case: Case) -> int:
    """Bytes per token of one layer, recomputed and in backward.

    Frozen base: 12f + 4q + 4v + 15h + 2 sum r. Full: 12f + 4q + 4v + 21h. Never under 41h, the peak of attention and
    norms where f is small. Without a gate 8f instead of 12f. Slopes of published runs: 63-68 h where this gives 62 h.
    """
    size = widths(case.shape)
    norms = (4 if size.rms else 2) * size.norms - 8
    mlp = (12 if size.gated else 8) * size.ffn
    rest = (21 if case.job.method == "full" else 15) * size.hidden + norms * size.hidden
    lora = 2 * adapter_reach(case.shape, case.job.adapter).ranks + _dropout_bytes(case)
    total = mlp + _attention_flow(case, size) + rest + lora + _routing_bytes(size)
    total = max(total, 41 * size.hidden) + _quadratic(case, size, 12)
    return total * case.weight_bytes // 2


def activation_checkpoints(case: Case) -> MemoryTerm:
    """b h L T: the input of every layer, with activation checkpointing."""
    size, layers = case.shape.hidden_size, case.shape.num_layers
    used = case.job.activation_checkpointing
    return MemoryTerm(
        name="activation checkpoints",
        phases=("step",),
        moments=("loss", "backward start"),
        device_bytes=case.weight_bytes * size * layers * case.tokens if used else 0,
        formula=f"{case.weight_bytes} B x {size:,} hidden x {layers} layers x {case.tokens:,} tokens",
        source="transformers 5.23 GradientCheckpointingLayer: one 16-bit input per layer",
        kind="exact",
    )


def saved_activations(case: Case) -> MemoryTerm:
    """L T x bytes saved per layer and token, without activation checkpointing."""
    used = not case.job.activation_checkpointing
    each = saved_per_layer(case)
    return MemoryTerm(
        name="saved activations",
        phases=("step",),
        moments=("loss", "backward start"),
        device_bytes=each * case.shape.num_layers * case.tokens if used else 0,
        formula=f"{each:,} B x {case.shape.num_layers} layers x {case.tokens:,} tokens",
        source=_SAVED,
        kind=_kind(case),
        low=_low(case),
        high=_high(case),
    )


def layer_in_backward(case: Case) -> tuple[MemoryTerm, ...]:
    """T x the layer phase. Without checkpointing the last layer's saved part is counted among the saved activations."""
    saved = 0 if case.job.activation_checkpointing else saved_per_layer(case)
    whole = layer_phase(case)
    at: tuple[tuple[Moment, int], ...] = (("backward start", max(0, whole - saved)), ("backward end", whole))
    return tuple(_layer_term(case, moment, each) for moment, each in at)


def _layer_term(case: Case, moment: Moment, each: int) -> MemoryTerm:
    recomputed = case.job.activation_checkpointing
    return MemoryTerm(
        name="layer recomputed and in backward" if recomputed else "layer in backward",
        phases=("step",),
        moments=(moment,),
        device_bytes=each * case.tokens,
        formula=f"{each:,} B x {case.tokens:,} tokens",
        source=f"{_SAVED} and their gradients; held against published peaks of packed runs",
        kind="calibrated",
        low=0.9 * _low(case),
        high=1.1 * _high(case),
    )


def dequantised_weight(case: Case) -> MemoryTerm:
    """b x the largest 4-bit linear: backward always dequantises the whole weight."""
    largest = case.inventory.largest_quantized
    return MemoryTerm(
        name="dequantised weight",
        phases=("step", "eval"),
        moments=("backward start", "backward end"),
        device_bytes=case.weight_bytes * largest,
        formula=f"{case.weight_bytes} B x {largest:,} of the largest 4-bit linear",
        source="bitsandbytes 0.50.2 autograd/_functions.py, MatMul4Bit.backward",
        kind="exact",
    )


def attention_mask(case: Case) -> MemoryTerm:
    """S x S per row: 1 byte of mask and b of the bias the kernel makes of it (sdpa), b alone (eager)."""
    row = row_length(case)
    rows = case.tokens // row
    each = case.weight_bytes + (1 if case.job.attention == "sdpa" else 0)
    return MemoryTerm(
        name="attention mask",
        phases=("step", "eval"),
        moments=("loss", "backward start", "backward end"),
        device_bytes=each * rows * row * row if has_dense_mask(case) else 0,
        formula=f"{each} B x {rows} rows x {row:,} x {row:,}",
        source="transformers 5.23 masking_utils.py; torch scaled_dot_product_attention makes a bias of a mask",
        kind="bound",
        low=0.33,
    )


def inputs_and_tables(case: Case) -> MemoryTerm:
    """Ids, labels and positions, 8 B each per token, and rotary tables, 4 B x head_dim per token."""
    each = 24 + 4 * case.shape.head_dim
    return MemoryTerm(
        name="inputs and rotary tables",
        phases=("step", "eval"),
        moments=("loss", "backward start", "backward end"),
        device_bytes=each * case.tokens,
        formula=f"{each} B x {case.tokens:,} tokens",
        source="transformers 5.23 modeling code",
        kind="bound",
        low=0.5,
    )


def evaluation_forward(case: Case) -> MemoryTerm:
    """T x (6f + 8h, or the attention of one layer): forward without gradients keeps one layer at a time."""
    size = widths(case.shape)
    each = max((6 if size.gated else 4) * size.ffn + 8 * size.hidden, 8 * size.queries + 8 * size.values)
    each = (each + _routing_bytes(size) + _quadratic(case, size, 8)) * case.weight_bytes // 2
    return MemoryTerm(
        name="forward of one layer",
        phases=("eval",),
        device_bytes=each * case.tokens,
        formula=f"{each:,} B x {case.tokens:,} tokens",
        source="transformers 5.23 modeling code, without autograd",
        kind="bound",
        low=0.6,
        high=_high(case),
    )


def _norm_bytes(size: Widths, full: bool) -> int:
    each = (6 if full else 4) if size.rms else 2
    heads = (size.queries + size.values) * (6 if full else 4) + 4 * size.heads if size.head_norms else 0
    return each * size.norms * size.hidden + heads


def _attention_flow(case: Case, size: Widths) -> int:
    """Queries, keys, values and output; a dense mask makes transformers repeat keys and values for every head."""
    values = size.queries if has_dense_mask(case) else size.values
    return 4 * size.queries + 4 * values


def _attention_bytes(case: Case, size: Widths) -> int:
    return _attention_flow(case, size) + 4 * size.heads + _quadratic(case, size, 6)


def _quadratic(case: Case, size: Widths, each: int) -> int:
    """Eager attention keeps its scores: `each` bytes per head and attended token."""
    return each * size.heads * row_length(case) if case.job.attention == "eager" else 0


def _mlp_bytes(size: Widths, full: bool) -> int:
    if size.gated:
        return (8 if full else 6) * size.ffn
    return (4 if full else 2) * size.ffn


def _routing_bytes(size: Widths) -> int:
    """A mixture gathers, returns and weighs every routed token, and keeps the router's scores in 32 bits."""
    return 6 * size.routed * size.hidden + 8 * size.experts


def _adapter_bytes(case: Case, size: Widths) -> int:
    reach = adapter_reach(case.shape, case.job.adapter)
    inputs = 2 * size.hidden * (int(reach.attention_input) + int(reach.mlp_input))
    return inputs + 2 * size.ffn * int(reach.down_input) + 2 * reach.ranks + _dropout_bytes(case)


def _dropout_bytes(case: Case) -> int:
    """Dropout keeps a mask and a dropped input of its own for every adapted linear."""
    dropped = case.job.adapter is not None and case.job.adapter.dropout > 0
    return 3 * adapter_reach(case.shape, case.job.adapter).inputs if dropped else 0


def _counted(case: Case) -> bool:
    """Whether the coefficients were counted for this kind of layer."""
    size = widths(case.shape)
    return size.rms and size.gated and not size.experts and case.job.precision != "fp32"


def _kind(case: Case) -> Kind:
    return "calibrated" if _counted(case) else "bound"


def _low(case: Case) -> float:
    return 0.97 if _counted(case) else 0.7


def _high(case: Case) -> float:
    return 1.03 if _counted(case) else 1.25
