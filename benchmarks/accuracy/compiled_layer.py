"""What a compiled layer saves for backward: products of matrices and the residual stream, all else is made anew."""

from __future__ import annotations

from tunekit.memory.layer_code import Widths


def saved_compiled(size: Widths, ranks: int) -> int:
    """4h + 4q + 4v + 4f + 4a bytes per token, and 2 per rank of adapters, in bf16.

    h twice: the layer's input and the middle of the residual stream. q, k, v and attention's output. Gate and up, or
    2f without a gate; their activation and product, norms and rotated copies are pointwise and fused into backward.
    """
    feed = (4 if size.gated else 2) * size.ffn
    return 4 * size.hidden + 4 * size.queries + 4 * size.values + feed + 4 * size.heads + 2 * ranks
