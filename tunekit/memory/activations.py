"""Activations of transformers' decoder layers in bytes per token, and what attention and 4-bit weights add.

Coefficients count the tensors that autograd saves in transformers 5.23's code (saved-tensor hooks), in bf16. Symbols:
h hidden, f feed-forward width (of the active experts), a heads, q and v width of all query and key/value heads,
L layers, T tokens of a micro-batch, S tokens of a row, r rank.
"""

from __future__ import annotations

from tunekit.memory.case import Case
from tunekit.memory.layer_code import Widths, adapter_reach, widths
from tunekit.memory.model_states import FORWARD
from tunekit.memory.terms import Kind, MemoryTerm, Moment

_SAVED = "tensors saved by autograd in transformers 5.23 decoder layers"


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
    2f instead of 8f and 6f; families differ as layer_code.py says. fp32 doubles all (bound).
    """
    if case.practice.layer_bytes is not None:
        return case.practice.layer_bytes
    size = widths(case.shape)
    full = case.job.method == "full"
    total = _norms(case, size, full) + _attention_bytes(case, size) + _mlp_bytes(size, full) + _routing_bytes(size) + 8
    total += 4 * size.hidden if full else _adapter_bytes(case, size)
    total += 4 * size.values if case.practice.keeps_cache else 0
    return total * case.weight_bytes // 2


def layer_phase(case: Case) -> int:
    """Bytes per token of one layer, recomputed and in backward.

    12f + 4q + 4v + 7h + what two norms and the family's code save (8h), + 2 sum r of adapters. Without a gate 8f
    instead of 12f. At least 33h + 4q + 4v, the peak of attention and norms where f is small. Peaks of allocations
    traced on the CPU: 53.1h for 53.4h; slopes of published runs: 63-68h for 62h.
    """
    size = widths(case.shape)
    total = _mlp_phase(case, size) + (5 if _drops(case) else 7) * size.hidden + _norms(case, size, full=False)
    total = max(total, 33 * size.hidden) + _attention_flow(case, size) + _routing_bytes(size)
    total += 2 * adapter_reach(case.shape, case.job.adapter).ranks + _dropout_bytes(case)
    total += _quadratic(case, size, 10)
    return total * case.weight_bytes // 2


def _mlp_phase(case: Case, size: Widths) -> int:
    """What the feed-forward part saves, 6 f, and the temporaries of its backward, 6 f again (of one expert in turn)."""
    each = 6 if size.gated else 4
    turns = max(1, size.experts) if case.practice.experts_in_turn else 1
    return each * size.ffn + each * size.ffn // turns


def activation_checkpoints(case: Case) -> MemoryTerm:
    """b h L T: the input of every layer, with activation checkpointing; two layers' where they are moved to RAM.

    Selective checkpointing keeps b (2q + v + f + h) and 4a more: attention, and the products for q, v, gate and down.
    """
    size, layers = case.shape.hidden_size, case.shape.num_layers
    if case.practice.checkpoints_in_ram:
        layers = min(layers, 2)
    used = case.job.activation_checkpointing
    held: tuple[Moment, ...] = ("backward end",) if case.practice.layer_input_gradients else ()
    kept = _kept_products(case)
    text = f"{case.residual_bytes} B x {size:,} hidden" + (f" + {kept:,} B" if kept else "")
    return MemoryTerm(
        name="activation checkpoints",
        phases=FORWARD,
        moments=("loss", "backward start", *held),
        device_bytes=(case.residual_bytes * size + kept) * layers * case.tokens if used else 0,
        formula=f"{text} x {layers} layers x {case.tokens:,} tokens",
        source="transformers 5.23 GradientCheckpointingLayer: one 16-bit input per layer",
        kind="exact",
    )


def _kept_products(case: Case) -> int:
    size = widths(case.shape)
    kept = case.weight_bytes * (2 * size.queries + size.values + size.ffn + size.hidden) + 4 * size.heads
    return kept if case.practice.keeps_products else 0


def saved_activations(case: Case) -> MemoryTerm:
    """L T x bytes saved per layer and token, without activation checkpointing."""
    used = not case.job.activation_checkpointing
    each = saved_per_layer(case)
    return MemoryTerm(
        name="saved activations",
        phases=FORWARD,
        moments=("loss", "backward start"),
        device_bytes=each * case.shape.num_layers * case.tokens if used else 0,
        formula=f"{each:,} B x {case.shape.num_layers} layers x {case.tokens:,} tokens",
        source=_SAVED,
        kind=_kind(case),
        low=_low(case),
        high=_high(case),
    )


def layer_input_gradients(case: Case) -> MemoryTerm:
    """b h (L - 2) T where gradients of the layers' inputs stay alive until the end of backward, else nothing.

    FSDP 1 watches the inputs of a frozen layer with a hook that keeps them and their gradients.
    """
    size, layers = case.shape.hidden_size, max(0, case.shape.num_layers - 2)
    kept = case.practice.layer_input_gradients
    return MemoryTerm(
        name="gradients of the layers' inputs",
        phases=("step",),
        moments=("backward end",),
        device_bytes=case.residual_bytes * size * layers * case.tokens if kept else 0,
        formula=f"{case.residual_bytes} B x {size:,} hidden x {layers} layers x {case.tokens:,} tokens",
        source="torch FSDP 1 with a frozen base: slopes of published runs, 60 h of 32 layers",
        kind="calibrated",
    )


def layer_in_backward(case: Case) -> tuple[MemoryTerm, ...]:
    """T x the layer phase. Without checkpointing the last layer's saved part is counted among the saved activations.

    Then backward starts with all layers saved and 26h of the final norm, which works in 32 bits, or of the last layer.
    """
    whole = layer_phase(case)
    start = whole
    if not case.job.activation_checkpointing:
        start = max(whole - saved_per_layer(case), 26 * case.shape.hidden_size * case.weight_bytes // 2)
    at: tuple[tuple[Moment, int], ...] = (("backward start", start), ("backward end", whole))
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
        kind="calibrated" if _counted(case) else "bound",
        low=0.9 * _low(case) if widths(case.shape).gated else 0.65,
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


def merged_experts(case: Case) -> tuple[MemoryTerm, ...]:
    """b x a layer's experts where adapters are on them: PEFT adds the adapters to the fused weights for each forward.

    Without checkpointing every layer's merged weights are saved; backward adds 0.8 of one layer's for their gradient.
    """
    if not (case.practice.merges_experts and adapter_reach(case.shape, case.job.adapter).experts):
        return ()
    total = case.weight_bytes * case.shape.count("expert")
    layer = total // max(1, case.shape.num_layers)
    kept = 0 if case.job.activation_checkpointing else total
    at_start = int(0.8 * layer) + (0 if kept else layer)
    parts: tuple[tuple[str, tuple[Moment, ...], int], ...] = (
        ("merged experts", ("loss", "backward start"), kept),
        ("experts merged in backward", ("backward start",), at_start),
        ("experts merged in backward", ("backward end",), int(1.8 * layer)),
    )
    return tuple(_merged(name, moments, size, layer) for name, moments, size in parts)


def _merged(name: str, moments: tuple[Moment, ...], size: int, layer: int) -> MemoryTerm:
    return MemoryTerm(
        name=name,
        phases=FORWARD if "loss" in moments else ("step",),
        moments=moments,
        device_bytes=size,
        formula=f"{size / max(1, layer):.1f} x {layer:,} B of one layer's experts",
        source="peft 0.21.2 tuners/lora/layer.py `ParamWrapper`; allocations traced on a small Mixtral: 1.5 to 1.8",
        kind="bound",
        low=0.8,
        high=1.2,
    )


def attention_mask(case: Case) -> MemoryTerm:
    """S x S per row: 1 byte of mask and b of the bias the kernel makes of it (sdpa), b alone (eager)."""
    row = row_length(case)
    rows = case.tokens // row
    each = case.weight_bytes + (1 if case.job.attention == "sdpa" else 0)
    return MemoryTerm(
        name="attention mask",
        phases=(*FORWARD, "eval"),
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
        phases=(*FORWARD, "eval"),
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


def _norms(case: Case, size: Widths, full: bool) -> int:
    each = size.code.norm_trained if full else size.code.norm_frozen
    each = 0 if case.practice.fused_norms else each
    each = max(each, 4) if case.practice.autocast_norms else each
    heads = (size.queries + size.values) * each + 4 * size.heads if size.head_norms else 0
    return each * size.norms * size.hidden + heads


def _attention_flow(case: Case, size: Widths) -> int:
    """Queries, keys, values and output; a dense mask makes transformers repeat keys and values for every head."""
    repeats = has_dense_mask(case) or size.code.repeats_values or case.practice.repeats_values
    values = size.queries if repeats else size.values
    fused = 2 * size.queries + 2 * size.values if size.code.fused_qkv else 0
    return 4 * size.queries + 4 * values + fused + size.code.masks * size.hidden


def _attention_bytes(case: Case, size: Widths) -> int:
    return _attention_flow(case, size) + 4 * size.heads + _quadratic(case, size, case.practice.score_bytes)


def _quadratic(case: Case, size: Widths, each: float) -> int:
    """Eager attention keeps its scores: `each` bytes per head and attended token."""
    return round(each * size.heads * row_length(case)) if case.job.attention == "eager" else 0


def _mlp_bytes(size: Widths, full: bool) -> int:
    if size.gated:
        return (8 if full else 6) * size.ffn
    return (4 if full else 2) * size.ffn


def _routing_bytes(size: Widths) -> int:
    """A mixture gathers, returns and weighs every routed token, and keeps the router's scores in 32 bits."""
    return 6 * size.routed * size.hidden + 8 * size.experts


def _adapter_bytes(case: Case, size: Widths) -> int:
    reach = adapter_reach(case.shape, case.job.adapter)
    if _drops(case) or case.practice.adapter_input_bytes is not None:
        return _dropout_bytes(case) + 2 * reach.ranks
    inputs = 2 * size.hidden * (int(reach.attention_input) + int(reach.mlp_input))
    return inputs + 2 * size.ffn * int(reach.down_input) + 2 * reach.ranks


def _drops(case: Case) -> bool:
    return case.job.adapter is not None and case.job.adapter.dropout > 0


def _dropout_bytes(case: Case) -> int:
    """What every adapted linear keeps for itself: with dropout a mask and its input, else its input if it was cast."""
    width = case.practice.adapter_input_bytes
    each = 1 + (width or 2) if _drops(case) else width or 0
    return each * adapter_reach(case.shape, case.job.adapter).inputs


def _counted(case: Case) -> bool:
    """Whether the coefficients were counted for this family's code, in 16 bits and without experts."""
    size = widths(case.shape)
    return size.code.counted and not size.experts and case.job.precision != "fp32"


def _kind(case: Case) -> Kind:
    return "calibrated" if _counted(case) else "bound"


def _low(case: Case) -> float:
    return 0.97 if _counted(case) else 0.7


def _high(case: Case) -> float:
    return 1.03 if _counted(case) else 1.25
