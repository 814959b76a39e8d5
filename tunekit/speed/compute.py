"""What a card computes in a step. Symbols: T positions of a micro-batch, L layers, h hidden, f feed-forward width,
q and v width of all query and key/value heads, V vocabulary, S positions that attend to one another.

Every function gives the seconds of one micro-batch on one card times the micro-batches of an optimizer step.
"""

from __future__ import annotations

from tunekit.memory.case import bits_of
from tunekit.speed.case import SpeedCase
from tunekit.speed.rates import Rate
from tunekit.speed.terms import SpeedTerm

_COUNTED = "tensors that transformers' eager code reads and writes"
RMS_FORWARD, RMS_BACKWARD = 36, 60
"""Bytes per element of an RMSNorm written out in float32: seven kernels forward."""
LAYER_NORM_FORWARD, LAYER_NORM_BACKWARD = 4, 10


def times(case: SpeedCase, name: str, amount: float, rate: Rate, formula: str, source: str = "") -> SpeedTerm:
    """A term of `amount` per micro-batch at a rate."""
    total = amount * case.passes
    return SpeedTerm(
        name=name,
        seconds=total / rate.value,
        low=total / rate.high,
        high=total / rate.low,
        formula=formula,
        source=f"{source}; {rate.source}" if source else rate.source,
        kind="measured" if rate.measured else "default",
    )


def matrix_products(case: SpeedCase) -> SpeedTerm:
    """2 N T forward, again when recomputed, 2 N T for inputs' gradients and 2 N_t T for weights', N of active experts.

    Each product also reads its input and writes its output, b (in + out) T, which tiles at the edges do not hide.
    Short passes read the weights in longer than they compute: then b N per pass at the memory's rate.
    """
    counts, rates = case.counts, case.rates
    often = (3 if case.recomputes else 2) + (1 if counts.trained_products else 0)
    work = 2.0 * often * counts.products * case.tokens
    to_work = case.products.value / rates.memory.value
    reading = case.weight_bytes * _touched(case) * often * to_work
    edges = case.weight_bytes * often * counts.product_widths * case.tokens * to_work
    return times(
        case,
        "matrix products of the layers",
        max(work, reading) + edges,
        case.products,
        f"{2 * often} x {counts.products:,} weights x {case.tokens:,} tokens at {case.products.value / 1e12:.0f}e12/s",
    )


def _touched(case: SpeedCase) -> int:
    """Weights that a micro-batch reads: all experts, unless it has fewer tokens than would reach them."""
    counts = case.counts
    return min(counts.stored_products, counts.products * case.tokens)


def attention(case: SpeedCase) -> SpeedTerm:
    """2 q S L T forward (lower triangle), 2.5 times that backward, once more when recomputed; a dense mask: all S^2.

    FlashAttention recomputes the scores in backward: five products instead of two. Layers with a window of W < S:
    W (2 - W / S) instead of S, the band that flash attention computes; other kernels take a dense mask for it.
    """
    counts = case.counts
    layered = (counts.layers - counts.windowed) * _positions(case) + counts.windowed * _positions(case, counts.window)
    factor = 3.5 + (1 if case.recomputes else 0)
    work = factor * 2.0 * counts.queries * layered * case.tokens / case.habits.attention_share
    window = f"; {counts.windowed} layers see {counts.window:,}" if 0 < counts.window < case.row else ""
    size = f"{counts.queries:,} x {case.row:,} positions x {counts.layers} layers x {case.tokens:,}"
    return times(
        case,
        "attention",
        work + _scores(case),
        case.rates.attention,
        f"{factor:g} x 2 x {size}{window}",
    )


MASKED_SHARE = 0.6
"""Kernels that take a mask (memory-efficient attention) against flash attention."""


def _positions(case: SpeedCase, window: int = 0) -> float:
    """Positions that a layer attends to, as flash attention without a window would take equally long for.

    transformers 5.23 makes a mask of a window that is no longer than the row (`_ignore_causal_mask_sdpa`).
    """
    job, row = case.job, case.row
    if job.attention == "flash_attention_2":
        return row if not window or window >= row else window * (2.0 - window / row)
    masked = job.attention == "eager" or job.packing or 0 < window <= row
    return 2.0 * row / MASKED_SHARE if masked else row


def _scores(case: SpeedCase) -> float:
    """Eager attention writes and reads its scores: 30 bytes of each forward and 50 backward, as operations."""
    if case.job.attention != "eager":
        return 0.0
    counts, rates = case.counts, case.rates
    moved = (80 + (30 if case.recomputes else 0)) * counts.heads * case.row * counts.layers * case.tokens
    return moved / rates.memory.value * rates.attention.value


def elementwise(case: SpeedCase) -> SpeedTerm:
    """Bytes of norms, rotary positions, gates and residuals: forward once or twice, and backward."""
    forward, backward = elementwise_bytes(case)
    each = forward * (2 if case.recomputes else 1) + backward
    moved = each * case.counts.layers * case.tokens * (case.weight_bytes / 2)
    formula = f"{each:,.0f} B x {case.counts.layers} layers x {case.tokens:,} tokens"
    return times(case, "norms, gates and residuals", moved, case.rates.memory, formula, _COUNTED)


def elementwise_bytes(case: SpeedCase) -> tuple[float, float]:
    """Bytes per token and layer, forward and backward.

    Per norm 36 h and 60 h (RMSNorm) or 4 h and 10 h (one kernel); residuals 12 h and 12 h; rotary positions
    20 (q + v) and 20 (q + v); gate 10 f and 18 f, without a gate 4 f and 6 f; attention's own 4 q + 4 v, 12 q + 12 v.
    """
    counts = case.counts
    hidden, heads = counts.hidden, counts.queries + counts.values
    single = case.habits.fused or counts.code.norm_frozen == 2
    norm = (LAYER_NORM_FORWARD, LAYER_NORM_BACKWARD) if single else (RMS_FORWARD, RMS_BACKWARD)
    gate = ((6, 10) if case.habits.fused else (10, 18)) if counts.gated else (4, 6)
    rotary = min(4, case.habits.rotary_bytes) if case.habits.fused else case.habits.rotary_bytes
    forward = norm[0] * counts.norms * hidden + 12 * hidden + (rotary + 4) * heads + gate[0] * counts.ffn
    backward = norm[1] * counts.norms * hidden + 12 * hidden + (rotary + 12) * heads + gate[1] * counts.ffn
    return forward, backward


def adapters(case: SpeedCase) -> SpeedTerm:
    """6 N_t T products (8 recomputed) and what each adapted module moves.

    2 in + 12 out forward, 10 in + 8 out backward: PEFT has result + B(A(dropout(x))) * scale, each a kernel; dropout
    5 bytes more of every input, twice.
    """
    counts, rates = case.counts, case.rates
    again = 2 if case.recomputes else 1
    drops = 5 if case.job.adapter and case.job.adapter.dropout else 0
    forward = (2 + drops) * counts.adapter_inputs + 12 * counts.adapter_outputs
    backward = (10 + drops) * counts.adapter_inputs + 8 * counts.adapter_outputs
    moved = (again * forward + backward) * case.tokens * (case.habits.adapter_bytes / 2)
    moved *= 0.5 if case.habits.fused else 1.0
    work = 2.0 * (again + 2) * counts.adapter_elements * case.tokens
    return times(
        case,
        "adapters",
        moved + work / case.products.value * rates.memory.value,
        rates.memory,
        f"{counts.adapters} modules: {moved / 1e9:.2f} GB moved, {work / 1e12:.2f}e12 operations",
        "PEFT 0.21 lora/layer.py",
    )


def head_and_loss(case: SpeedCase) -> SpeedTerm:
    """4 h V T products (6 when the head is trained) and 30 V T bytes of logits; chunked: 12 V T, products once more."""
    counts, rates = case.counts, case.rates
    chunked = case.job.loss == "chunked"
    work = 2.0 * counts.head * case.tokens * (2 + counts.head_trained + chunked)
    moved = (0.4 if chunked else 1.0) * case.habits.loss_bytes * counts.vocab * case.tokens
    return times(
        case,
        "head and loss",
        work + moved / rates.memory.value * case.products.value,
        case.products,
        f"{work / 1e12:.2f}e12 operations, {moved / 1e9:.2f} GB of logits",
    )


def dequantisation(case: SpeedCase) -> SpeedTerm:
    """Bytes per 4-bit weight (0.5 and its scale read, 2 written) x N_q, in every forward, recompute and backward.

    An 8-bit weight is made whole in backward alone, 1 B read and 2 written: forward multiplies in 8 bits.
    """
    counts, bits = case.counts, bits_of(case.job)
    each, times_over = (3.0, 1) if bits == 8 else (case.habits.dequant_bytes, 3 if case.recomputes else 2)
    double = 0.06 if case.job.quantization and case.job.quantization.double_quant else 0.0
    moved = times_over * (each + double) * counts.quantized
    formula = f"{times_over} x {each:g} B x {counts.quantized:,} weights"
    source = "bitsandbytes MatMul8bitLt, counted" if bits == 8 else "bitsandbytes dequantize_4bit"
    return times(case, f"unpacking {bits}-bit weights", moved, case.rates.memory, formula, source)


NORM_KERNELS, ROTARY_KERNELS, ADAPTER_KERNELS = 7, 12, 6


def kernels(case: SpeedCase) -> float:
    """Kernels that a micro-batch issues: forward, again when recomputed, and twice as many backward."""
    counts, habits = case.counts, case.habits
    single = habits.fused or counts.code.norm_frozen == 2
    rotary = (2 if habits.fused else ROTARY_KERNELS) if habits.rotary_bytes else 0
    norm = 1 if single else NORM_KERNELS
    unpack = habits.unpack_kernels if counts.quantized else 0
    layer = norm * counts.norms + rotary + 6 + counts.linears + (2 if counts.gated else 1)
    forward = layer * counts.layers + (ADAPTER_KERNELS + (1 if habits.adapter_bytes > 2 else 0)) * counts.adapters
    again = 2 if case.recomputes else 1
    unpacked = (again + 1) * unpack * counts.linears * counts.layers
    return ((again + 2) * forward + unpacked + 40) * habits.launches


def launching(case: SpeedCase, busy: float) -> SpeedTerm:
    """Kernels x seconds to issue one, as far as the card waits for it: its own work hides the rest.

    `busy`: seconds the card computes in a step.
    """
    issued, rate = kernels(case) * case.passes, case.rates.launch
    return SpeedTerm(
        name="waiting for the CPU to issue kernels",
        seconds=max(0.0, issued * rate.value - busy),
        low=max(0.0, issued * rate.low - busy),
        high=max(0.0, issued * rate.high - busy),
        formula=f"{issued:,.0f} kernels x {rate.value * 1e6:.0f} us, less {busy:.2f} s of the card's own work",
        source=rate.source,
        kind="measured" if rate.measured else "default",
    )
