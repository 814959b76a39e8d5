"""Activations of transformers' decoder layers in bytes per token, and what attention and 4-bit weights add.

Coefficients count the tensors that autograd saves in transformers 5.23's code (saved-tensor hooks), in bf16. Symbols:
h hidden, f feed-forward width (of the active experts), a heads, q and v width of all query and key/value heads,
L layers, T tokens of a micro-batch, S tokens of a row, r rank.
"""

from __future__ import annotations

from tunekit.memory.case import Case
from tunekit.memory.layer_bytes import (
    beyond_saved,
    evaluated_layer,
    freed_for_whole_weights,
    layer_kinds,
    layer_phase,
    masked_layers,
    num_masks,
    row_length,
    saved_by_layers,
    saved_per_layer,
    takes_plain_kernel,
)
from tunekit.memory.layer_code import adapter_reach, widths
from tunekit.memory.model_states import FORWARD
from tunekit.memory.terms import Kind, MemoryTerm, Moment

_SAVED = "tensors saved by autograd in transformers 5.23 decoder layers"


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
    """T x bytes that all layers save per token, without activation checkpointing."""
    used = not case.job.activation_checkpointing
    parts = " + ".join(f"{saved_per_layer(case, size):,} B x {count} layers" for count, size in layer_kinds(case))
    return MemoryTerm(
        name="saved activations",
        phases=FORWARD,
        moments=("loss", "backward start"),
        device_bytes=saved_by_layers(case) * case.tokens if used else 0,
        formula=f"({parts}) x {case.tokens:,} tokens",
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

    Then backward starts with all layers saved, and what the final norm or the last layer takes beside.
    """
    whole = layer_phase(case)
    start = whole if case.job.activation_checkpointing else beyond_saved(case)
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
    """b x the largest quantised linear, less what backward has not yet taken by then: 2f per token.

    Backward always dequantises the whole weight. Where gate and up are one matrix, that is 6f later;
    or the down projection decides, which has half its elements.
    """
    largest, freed = case.inventory.largest_quantized, freed_for_whole_weights(case) * case.tokens
    sizes = [(largest, freed)]
    size = widths(case.shape)
    if size.code.fused_qkv and size.gated:
        sizes = [(largest // 2, freed), (largest, freed + 3 * case.weight_bytes * size.ffn * case.tokens)]
    elements, less = max(sizes, key=lambda each: case.weight_bytes * each[0] - each[1])
    return MemoryTerm(
        name="dequantised weight",
        phases=("step", "eval"),
        moments=("backward start", "backward end"),
        device_bytes=max(0, case.weight_bytes * elements - less),
        formula=f"{case.weight_bytes} B x {elements:,} of a {case.base_bits}-bit linear - {less:,} B freed",
        source="bitsandbytes 0.50.2 autograd/_functions.py, backward of MatMul4Bit and MatMul8bitLt",
        kind="exact",
    )


def merged_experts(case: Case) -> tuple[MemoryTerm, ...]:
    """b x a layer's experts where adapters are on them: PEFT adds the adapters to the fused weights for each forward.

    Without checkpointing every layer's merged weights are saved; backward adds a third of one layer's, less 2f T.
    """
    if not (case.practice.merges_experts and adapter_reach(case.shape, case.job.adapter).experts):
        return ()
    total = case.weight_bytes * case.shape.count("expert")
    layer = total // max(1, case.shape.num_layers)
    kept = 0 if case.job.activation_checkpointing else total
    third = max(0, layer // 3 - freed_for_whole_weights(case) * case.tokens)
    at_start = third + (0 if kept else layer)
    parts: tuple[tuple[str, tuple[Moment, ...], int], ...] = (
        ("merged experts", ("loss", "backward start"), kept),
        ("experts merged in backward", ("backward start",), at_start),
        ("experts merged in backward", ("backward end",), layer + third),
    )
    return tuple(_merged(name, moments, size, layer) for name, moments, size in parts)


def _merged(name: str, moments: tuple[Moment, ...], size: int, layer: int) -> MemoryTerm:
    return MemoryTerm(
        name=name,
        phases=FORWARD if "loss" in moments else ("step",),
        moments=moments,
        device_bytes=size,
        formula=f"{size / max(1, layer):.3f} x {layer:,} B of one layer's experts",
        source="peft 0.21.2 tuners/lora/layer.py `ParamWrapper`; traced: 1.28 to 1.31 of a layer",
        kind="bound",
        low=0.8,
        high=1.2,
    )


def attention_mask(case: Case) -> MemoryTerm:
    """S x S per row, made once for all layers with a sliding window and once for all without: 1 byte, eager b."""
    row = row_length(case)
    rows = case.tokens // row
    each = 1 if case.job.attention == "sdpa" else case.weight_bytes
    masks = num_masks(case)
    return MemoryTerm(
        name="attention mask",
        phases=(*FORWARD, "eval"),
        moments=("loss", "backward start", "backward end"),
        device_bytes=each * masks * rows * row * row,
        formula=f"{each} B x {masks} masks x {rows} rows x {row:,} x {row:,}",
        source="transformers 5.23 masking_utils.py",
        kind="exact",
    )


def attention_bias(case: Case) -> tuple[MemoryTerm, ...]:
    """b S x S per row: what sdpa makes of a mask at every call, and saves: for every layer, or the one recomputed.

    The plain kernel adds it to the scores and saves none.
    """
    layers = 0 if takes_plain_kernel(case, widths(case.shape)) else masked_layers(case)
    if case.job.attention != "sdpa" or not layers:
        return ()
    if case.job.activation_checkpointing:
        return (_bias(case, ("backward start", "backward end"), 1),)
    return _bias(case, ("loss", "backward start"), layers), _bias(case, ("backward end",), 1)


def _bias(case: Case, moments: tuple[Moment, ...], layers: int) -> MemoryTerm:
    row = row_length(case)
    rows = case.tokens // row
    return MemoryTerm(
        name="attention bias",
        phases=FORWARD if "loss" in moments else ("step",),
        moments=moments,
        device_bytes=case.weight_bytes * layers * rows * row * row,
        formula=f"{case.weight_bytes} B x {layers} layers x {rows} rows x {row:,} x {row:,}",
        source="torch 2.13 scaled_dot_product_attention, `convert_boolean_attn_mask`",
        kind="exact",
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
    each = evaluated_layer(case)
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
