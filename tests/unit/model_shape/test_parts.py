from __future__ import annotations

from tunekit.model_shape import parts
from tunekit.model_shape.keys import Keys
from tunekit.model_shape.parts import Defaults, Sizes

DEFAULTS = Defaults(layers=2, hidden=64, heads=4, ffn=96, vocab=128, positions=32)


def sizes(**values: int | bool) -> Sizes:
    return parts.read_sizes(Keys(values=values, source="c"), DEFAULTS)


def test_head_dim_follows_from_hidden_size_unless_written() -> None:
    assert sizes().head_dim == 16
    assert sizes(head_dim=24).head_dim == 24
    fixed = Defaults(layers=2, hidden=64, heads=4, ffn=96, vocab=128, positions=32, fixed_head_dim=True)
    assert parts.read_sizes(Keys(values={"head_dim": 24}, source="c"), fixed).head_dim == 16


def test_key_heads_are_as_many_as_heads_unless_written() -> None:
    assert (sizes().kv_heads, sizes(num_key_value_heads=2).kv_heads) == (4, 2)
    assert sizes(num_key_value_heads=2).keys == 32
    assert sizes(head_dim=24).queries == 96


def test_a_linear_has_a_bias_only_if_asked() -> None:
    assert [tensor.name for tensor in parts.linear("q", 3, 2)] == ["q.weight"]
    weight, bias = parts.linear("q", 3, 2, bias=True)
    assert (weight.shape, weight.role, bias.shape, bias.role) == ((3, 2), "linear", (3,), "bias")


def test_a_tied_head_leaves_only_its_bias() -> None:
    assert [tensor.name for tensor in parts.head(sizes(tie_word_embeddings=True), bias=True)] == ["lm_head.bias"]
    assert [tensor.shape for tensor in parts.head(sizes())] == [(128, 64)]


def test_tensors_of_layers_carry_their_place() -> None:
    (tensor,) = parts.in_layers("model.layers", parts.rms_norm("n", 8), count=2, first=3)
    assert tensor.names == ("model.layers.3.n.weight", "model.layers.4.n.weight")
