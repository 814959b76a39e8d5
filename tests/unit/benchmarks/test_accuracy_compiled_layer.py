"""A compiled layer keeps products of matrices and the residual stream."""

from __future__ import annotations

from accuracy.compiled_layer import saved_compiled

from tunekit.memory.layer_code import widths
from tunekit.model_shape.catalogue import find


def test_a_layer_of_llama_3():
    """23.03 h: 4h of the residual stream, 5h of attention, 14h of gate and up, and attention's statistics."""
    shape = find("meta-llama/Llama-3.1-8B")
    assert shape is not None
    assert saved_compiled(widths(shape), 0) == 23 * 4096 + 4 * 32
    assert saved_compiled(widths(shape), 48) - saved_compiled(widths(shape), 0) == 96
