"""Bytes per token of one decoder layer of transformers 5.23: what it saves, and what its backward takes.

Counted in the modelling code itself, run on fake tensors with the kernels of a GPU (`tunekit plan --trace`), in bf16.
Symbols: h hidden, f feed-forward width (of the active experts), a heads, q and v width of all query and key/value
heads, T tokens of a micro-batch, S tokens of a row, r rank.
"""

from __future__ import annotations

from tunekit.memory.case import Case
from tunekit.memory.layer_code import Widths, adapter_reach, widths

NORM_AFTER = 20
"""Bytes per hidden element that backward of a norm after the feed-forward part takes beside gradient and input.

A trained norm has saved 6 of them already.
"""
FINAL_NORM = 25
"""Bytes per hidden element that backward of the final RMSNorm takes, in single operations of 32 bits."""


def row_length(case: Case) -> int:
    """S: tokens that attend to one another; packing joins the rows of a micro-batch into one (padding-free)."""
    return case.tokens if case.job.packing else case.job.max_seq_length


def layer_kinds(case: Case) -> tuple[tuple[int, Widths], ...]:
    """How many layers there are of each kind, and their widths: with a sliding window, and without.

    A window no longer than the row needs a mask, without which transformers 5.23 lets sdpa take flash
    (masking_utils.py, `_ignore_causal_mask_sdpa`).
    """
    shape = case.shape
    windowed = widths(shape, windowed=shape.sliding_window <= row_length(case))
    kinds = ((shape.sliding_layers, windowed), (shape.num_layers - shape.sliding_layers, widths(shape)))
    return tuple(kind for kind in kinds if kind[0])


def has_dense_mask(case: Case, size: Widths) -> bool:
    """Whether attention gets a mask of S x S: packed or padded rows and windows under sdpa, always under eager."""
    if case.job.attention == "eager":
        return True
    return case.job.attention == "sdpa" and (case.job.packing or case.job.batch.micro_batch_size > 1 or size.masked)


def num_masks(case: Case) -> int:
    """Masks that are made: one for each kind of layer that gets one."""
    return sum(has_dense_mask(case, size) for _, size in layer_kinds(case))


def masked_layers(case: Case) -> int:
    """Layers that get a mask."""
    return sum(count for count, size in layer_kinds(case) if has_dense_mask(case, size))


def saved_by_layers(case: Case) -> int:
    """Bytes per token that all layers together save for backward."""
    return sum(count * saved_per_layer(case, size) for count, size in layer_kinds(case))


def saved_per_layer(case: Case, size: Widths | None = None) -> int:
    """Bytes per token that one layer saves for backward: of the kind `size`, or of that with the most.

    Full: 16h + 4q + 4v + 8f + 4a + 8. Frozen 16-bit or 4-bit base: 8h + 4q + 4v + 6f + 4a + 8, plus 2h where inputs
    of attention or feed-forward are adapted, 2f where the down projection is, 2r per adapter. Without a gate 4f and
    2f instead of 8f and 6f; families differ as layer_code.py says. fp32 doubles all (bound).
    """
    if case.practice.layer_bytes is not None:
        return case.practice.layer_bytes
    size = size or _widest(case)
    total = _kept_beside_mlp(case, size) + _mlp_saved(case, size)
    total += 4 * size.values if case.practice.keeps_cache else 0
    return total * case.weight_bytes // 2


def layer_phase(case: Case) -> int:
    """Bytes per token of one layer, recomputed and in backward.

    What is saved beside the feed-forward part, 2h of gradient, and 12f: what the feed-forward part saves and its
    gradients. Without a gate 6f, 8f where the down projection is adapted. A norm after that part is done by then, or
    decides by itself. At least what backward of attention takes.
    """
    size = _widest(case)
    mlp = _kept_beside_mlp(case, size) + _gradients(case) * size.hidden + _mlp_in_backward(case, size)
    return max(mlp, _attention_in_backward(case, size) + _held_by_nodes(case, size)) * case.weight_bytes // 2


def beyond_saved(case: Case) -> int:
    """Bytes per token that the start of backward takes beside what all layers have saved.

    Of the last layer what is not saved, or 25h of the final RMSNorm, which works in 32 bits.
    """
    size = _widest(case)
    final = FINAL_NORM * size.hidden if size.code.norm_frozen > 2 else 0
    return max(layer_phase(case) - saved_per_layer(case), final * case.weight_bytes // 2)


def freed_for_whole_weights(case: Case) -> int:
    """Bytes per token by which backward is below its peak while a weight is made whole for it.

    The last projection of the feed-forward part needs its weight, dequantised or merged with adapters, 2f before the
    peak of that part; where attention or a norm decides, there is more room.
    """
    size = _widest(case)
    then = _kept_beside_mlp(case, size) + _gradients(case) * size.hidden + _inside_mlp(case, size) - 2 * size.ffn
    return layer_phase(case) - then * case.weight_bytes // 2


def final_norm_saved(case: Case) -> int:
    """Bytes per hidden element that the final norm keeps, in 16 bits."""
    code = widths(case.shape).code
    return code.norm_trained if case.job.method == "full" else code.norm_frozen


def evaluated_layer(case: Case) -> int:
    """Bytes per token of one layer's forward without gradients: its feed-forward part, or its attention."""
    size = _widest(case)
    scores = 9 * size.heads * row_length(case) if takes_plain_kernel(case, size) else 0
    attention = 8 * size.queries + 8 * size.values + scores
    each = max((6 if size.gated else 4) * size.ffn + 8 * size.hidden, attention)
    routed = _routing(case, size) + 2 * size.hidden * size.routed
    return (each + routed + _scores(case, size, 8)) * case.weight_bytes // 2


def repeats_values(case: Case, size: Widths) -> bool:
    """Whether keys and values are copied for all heads: a dense mask makes transformers do it."""
    # One key head is repeated by a view.
    masked = has_dense_mask(case, size) and case.shape.num_kv_heads > 1
    return masked or size.code.repeats_values or case.practice.repeats_values


def _widest(case: Case) -> Widths:
    """The kind of layer that takes most: one with a mask, where there are both."""
    return layer_kinds(case)[0][1]


def _kept_beside_mlp(case: Case, size: Widths) -> int:
    """What norms, inputs of linears, attention, routing and adapters keep until the layer's backward reaches them."""
    parts = (_norms(case, size), _inputs(case, size), _attention(case, size), _routing(case, size), _adapters(case))
    return sum(parts) + 8


def _norms(case: Case, size: Widths) -> int:
    each = _each_norm(case, size)
    heads = (size.queries + size.values) * each + 4 * size.heads if size.head_norms else 0
    return each * size.norms * size.hidden + heads


def _each_norm(case: Case, size: Widths) -> int:
    """Bytes per hidden element that one norm keeps."""
    each = size.code.norm_trained if case.job.method == "full" else size.code.norm_frozen
    each = 0 if case.practice.fused_norms else each
    return max(each, 4) if case.practice.autocast_norms else each


def keeps_base_inputs(case: Case) -> bool:
    """Whether the base itself keeps what its linears read: LLM.int8 does, 4-bit layers do not.

    bitsandbytes 0.50.2 `MatMul8bitLt` holds them as attributes of its nodes, which backward does not free one by one.
    """
    return case.job.method == "qlora" and case.base_bits == 8


def _held_by_nodes(case: Case, size: Widths) -> int:
    """Inputs of the feed-forward part that LLM.int8 still holds when backward has come to attention."""
    return 2 * (size.hidden + size.ffn) if keeps_base_inputs(case) else 0


def _inputs(case: Case, size: Widths) -> int:
    """What trained or adapted linears read: the inputs of attention and of the feed-forward part."""
    if case.job.method == "full" or keeps_base_inputs(case):
        return 2 * size.inputs * size.hidden
    if keeps_own_inputs(case):
        return 0
    reach = adapter_reach(case.shape, case.job.adapter)
    return 2 * size.hidden * min(size.inputs, int(reach.attention_input) + int(reach.mlp_input))


def _attention(case: Case, size: Widths) -> int:
    """Queries, keys, values and output, and 4 B per head of sums; or all scores, where no fused kernel is used."""
    if case.job.attention == "eager":
        score = case.practice.score_bytes + size.code.scores
        return 4 * size.queries + 4 * size.queries + _scores(case, size, score)
    if takes_plain_kernel(case, size):
        return 6 * size.queries + 8 * _plain_values(case, size) + 4 * size.heads * row_length(case)
    values = size.queries if repeats_values(case, size) else size.values
    fused = 2 * (size.queries + size.values) if size.code.fused_qkv and values == size.values else 0
    return 4 * (size.queries + values + size.heads) + fused + _copied_output(case, size)


def takes_plain_kernel(case: Case, size: Widths) -> bool:
    """Whether torch's sdpa has only its plain kernel, which works in 32 bits and keeps all scores."""
    return size.plain_attention and case.job.attention == "sdpa"


def _plain_values(case: Case, size: Widths) -> int:
    """Width of keys, and of values, that the plain kernel keeps: of several rows it copies the one head for all."""
    return size.queries if case.tokens > row_length(case) else size.values


def _copied_output(case: Case, size: Widths) -> int:
    """2q where the output projection keeps a copy of attention's output: `copies_output`, padded flash-attn."""
    reach = adapter_reach(case.shape, case.job.adapter)
    if not (case.job.method == "full" or keeps_base_inputs(case) or reach.attention_output):
        return 0
    unpads = case.job.attention == "flash_attention_2" and not case.job.packing and case.job.batch.micro_batch_size > 1
    # Flash takes heads of a multiple of eight elements; what it pads is cut off again.
    rejoins = (size.code.copies_output or case.shape.head_dim % 8) and not has_dense_mask(case, size)
    return 2 * size.queries * int(unpads or bool(rejoins))


def _scores(case: Case, size: Widths, each: float) -> int:
    """Eager attention keeps its scores: `each` bytes per head and attended token."""
    return round(each * size.heads * row_length(case)) if case.job.attention == "eager" else 0


def _mlp_saved(case: Case, size: Widths) -> int:
    reach = adapter_reach(case.shape, case.job.adapter)
    kept = case.job.method == "full" or _adapts_experts(case) or keeps_base_inputs(case)
    product = 2 if kept or (reach.down_input and not keeps_own_inputs(case)) else 0
    return ((6 if size.gated else 2) + product + size.code.activation) * size.ffn


def _mlp_in_backward(case: Case, size: Widths) -> int:
    """The feed-forward part while it is taken back, or before, with all that it saved still there.

    Then a mixture takes its outputs apart (6h per expert), or a norm after it works in 32 bits.
    """
    turns = max(1, size.experts) if case.practice.experts_in_turn else 1
    after = NORM_AFTER - 6 * int(case.job.method == "full") if size.code.norm_after else 0
    before = 6 * size.hidden * size.routed // turns + after * size.hidden
    return max(_inside_mlp(case, size), _mlp_saved(case, size) + before)


def _inside_mlp(case: Case, size: Widths) -> int:
    """Saved: gate, up and activation; gradients of product, up and activation (of one expert in turn).

    Without a gate: the activation's input and two gradients, and one more where the product waits. LLM.int8 still holds
    the product. A norm after this part has let go of what it kept.
    """
    turns = max(1, size.experts) if case.practice.experts_in_turn else 1
    if size.gated:
        held = 2 * size.ffn if keeps_base_inputs(case) else 0
        gone = _each_norm(case, size) * size.hidden if size.code.norm_after else 0
        return 6 * size.ffn + 6 * size.ffn // turns + held - gone
    return (6 + 2 * int(_product_waits(case, size)) + size.code.activation) * size.ffn


def _product_waits(case: Case, size: Widths) -> bool:
    """Whether, without a gate, one more tensor of the feed-forward width is there: the product, or its gradient."""
    if adapter_reach(case.shape, case.job.adapter).down_input or keeps_base_inputs(case):
        return True
    return case.job.method == "full" and size.code.activation > 0


def _attention_in_backward(case: Case, size: Widths) -> int:
    """Backward of attention: what is saved before it, the output's gradient, q, k, v's, and the kernel's sums.

    Flash sums the gradient of q in 32 bits, and makes those of k and v for all heads first. The plain kernel holds
    scores thrice, q, k and the gradient of v in 32 bits.
    """
    before = _norms(case, size) // size.norms + _inputs(case, size) // 2 + 4 * size.hidden
    if takes_plain_kernel(case, size):
        held = size.queries + _plain_values(case, size) + size.values
        return before + 4 * held + 12 * size.heads * row_length(case)
    values = size.queries if repeats_values(case, size) else size.values
    grouped = 4 * size.queries if values < size.queries else 0
    sums = 0 if case.on_cpu else 4 * size.queries + grouped
    kernel = 4 * size.queries + 4 * values + sums + _scores(case, size, 6)
    return before + _attention(case, size) + kernel


def _gradients(case: Case) -> int:
    """Bytes per hidden element of the gradient that enters, and of inputs cast for adapters that keep their own."""
    if case.job.method == "full":
        return 2
    if not keeps_own_inputs(case):
        return widths(case.shape).code.gradients
    return 5 if drops(case) else 7


def _routing(case: Case, size: Widths) -> int:
    """A mixture weighs every routed output; trained experts keep their inputs. Scores and indices of the router."""
    if not size.routed:
        return 0
    trained = case.job.method == "full" or _adapts_experts(case)
    return (4 if trained else 2) * size.routed * size.hidden + 34 * size.routed + 4 * size.experts


def _adapts_experts(case: Case) -> bool:
    return adapter_reach(case.shape, case.job.adapter).experts and case.practice.merges_experts


def _adapters(case: Case) -> int:
    """2r per adapter, and what each adapted linear keeps for itself."""
    reach = adapter_reach(case.shape, case.job.adapter)
    width = case.practice.adapter_input_bytes
    each = 1 + (width or 2) if drops(case) else width or 0
    return 2 * reach.ranks + each * reach.inputs


def keeps_own_inputs(case: Case) -> bool:
    """Whether adapted linears keep an input of their own, which the others then do not share."""
    return drops(case) or case.practice.adapter_input_bytes is not None


def drops(case: Case) -> bool:
    """Whether adapters drop inputs."""
    return case.job.adapter is not None and case.job.adapter.dropout > 0
