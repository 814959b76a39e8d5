"""The pieces that decoder families share: sizes, attention, feed-forward, norms, the ends of the model."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace

from tunekit.model_shape.keys import Keys
from tunekit.model_shape.shape import ParameterTensor, Role

Tensors = Iterator[ParameterTensor]
_WINDOW = "sliding_window"


@dataclass(frozen=True, slots=True, kw_only=True)
class Sizes:
    """The numbers every family has; `ffn` is the width of one expert in a mixture."""

    layers: int
    hidden: int
    heads: int
    kv_heads: int
    head_dim: int
    ffn: int
    vocab: int
    positions: int
    tied: bool
    experts: int = 0
    experts_per_token: int = 0
    gated: bool = True
    window: int = 0
    """Tokens that layers with a sliding window attend to."""
    windowed: int = 0
    """Layers with the window."""

    @property
    def queries(self) -> int:
        """Width of all query heads together."""
        return self.heads * self.head_dim

    @property
    def keys(self) -> int:
        """Width of all key (or value) heads together."""
        return self.kv_heads * self.head_dim


Family = tuple[Sizes, tuple[ParameterTensor, ...]]
"""What a family's function returns: the sizes, and the tensors in the order of the model."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Defaults:
    """What transformers 5.23 assumes for keys that a `config.json` leaves out."""

    layers: int
    hidden: int
    heads: int
    ffn: int
    vocab: int
    positions: int
    kv_heads: int | None = None
    """None: as many as heads."""
    head_dim: int | None = None
    """None: hidden size / heads."""
    tied: bool = False
    fixed_head_dim: bool = False
    """True where the family ignores a `head_dim` key."""


def read_sizes(keys: Keys, defaults: Defaults) -> Sizes:
    """The sizes under the key names most families use. Raises UsageError for values that cannot be."""
    hidden = keys.number("hidden_size", defaults.hidden)
    heads = keys.number("num_attention_heads", defaults.heads)
    kv_heads = keys.number("num_key_value_heads", defaults.kv_heads or heads)
    keys.split("num_attention_heads", heads, "num_key_value_heads", kv_heads)
    return Sizes(
        layers=keys.number("num_hidden_layers", defaults.layers),
        hidden=hidden,
        heads=heads,
        kv_heads=kv_heads,
        head_dim=_head_dim(keys, defaults, hidden, heads),
        ffn=keys.number("intermediate_size", defaults.ffn),
        vocab=keys.number("vocab_size", defaults.vocab),
        positions=keys.number("max_position_embeddings", defaults.positions),
        tied=keys.flag("tie_word_embeddings", default=defaults.tied),
    )


def _head_dim(keys: Keys, defaults: Defaults, hidden: int, heads: int) -> int:
    written = None if defaults.fixed_head_dim else keys.optional_number("head_dim")
    chosen = written or defaults.head_dim
    return chosen or keys.split("hidden_size", hidden, "num_attention_heads", heads)


def with_window(
    keys: Keys, sizes: Sizes, *, default: int = 0, slides: Callable[[int], bool] = lambda layer: True
) -> Sizes:
    """The sizes with the sliding window: in the layers that `layer_types` lists, or else where `slides` says.

    `default` is the window of a configuration that leaves it out; one that is null has none.
    """
    window = (keys.optional_number(_WINDOW) or 0) if _WINDOW in keys.values else default
    kinds = keys.words("layer_types")[: sizes.layers]
    listed = [kind == "sliding_attention" for kind in kinds] or [slides(layer) for layer in range(sizes.layers)]
    return replace(sizes, window=window, windowed=sum(listed) if window else 0)


def weight(name: str, *shape: int, role: Role) -> Tensors:
    """One parameter."""
    yield ParameterTensor(name=name, shape=shape, role=role)


def linear(name: str, out: int, into: int, *, bias: bool = False) -> Tensors:
    """An nn.Linear: weight [out, in] and, if asked for, bias [out]."""
    yield ParameterTensor(name=f"{name}.weight", shape=(out, into), role="linear")
    if bias:
        yield ParameterTensor(name=f"{name}.bias", shape=(out,), role="bias")


def rms_norm(name: str, size: int) -> Tensors:
    """A norm with a scale only."""
    yield ParameterTensor(name=f"{name}.weight", shape=(size,), role="norm")


def layer_norm(name: str, size: int) -> Tensors:
    """A norm with a scale and a shift."""
    yield from rms_norm(name, size)
    yield ParameterTensor(name=f"{name}.bias", shape=(size,), role="norm")


def attention(sizes: Sizes, *, bias: bool = False, out_bias: bool = False) -> Tensors:
    """Separate q_proj, k_proj, v_proj and o_proj."""
    yield from linear("self_attn.q_proj", sizes.queries, sizes.hidden, bias=bias)
    yield from linear("self_attn.k_proj", sizes.keys, sizes.hidden, bias=bias)
    yield from linear("self_attn.v_proj", sizes.keys, sizes.hidden, bias=bias)
    yield from linear("self_attn.o_proj", sizes.hidden, sizes.queries, bias=out_bias)


def gated_mlp(sizes: Sizes, *, bias: bool = False, width: int | None = None) -> Tensors:
    """Separate gate_proj, up_proj and down_proj."""
    inner = width or sizes.ffn
    yield from linear("mlp.gate_proj", inner, sizes.hidden, bias=bias)
    yield from linear("mlp.up_proj", inner, sizes.hidden, bias=bias)
    yield from linear("mlp.down_proj", sizes.hidden, inner, bias=bias)


def router(sizes: Sizes) -> Tensors:
    """The mixture's router, a plain parameter since transformers 5."""
    yield from weight("mlp.gate.weight", sizes.experts, sizes.hidden, role="router")


def experts(sizes: Sizes) -> Tensors:
    """All experts of a layer in two fused parameters, as transformers 5 builds them."""
    yield from weight("mlp.experts.gate_up_proj", sizes.experts, 2 * sizes.ffn, sizes.hidden, role="expert")
    yield from weight("mlp.experts.down_proj", sizes.experts, sizes.hidden, sizes.ffn, role="expert")


def embedding(name: str, sizes: Sizes) -> Tensors:
    """The token embedding [vocabulary, hidden]."""
    yield from weight(f"{name}.weight", sizes.vocab, sizes.hidden, role="embedding")


def head(sizes: Sizes, *, bias: bool = False) -> Tensors:
    """lm_head: nothing where it is tied to the embedding, but its bias."""
    if not sizes.tied:
        yield from weight("lm_head.weight", sizes.vocab, sizes.hidden, role="head")
    if bias:
        yield from weight("lm_head.bias", sizes.vocab, role="bias")


def in_layers(prefix: str, tensors: Iterable[ParameterTensor], *, count: int, first: int = 0) -> Tensors:
    """The same tensors in `count` layers from `first` on; `prefix` names the list of layers."""
    for tensor in tensors:
        yield replace(tensor, name=f"{prefix}.{{layer}}.{tensor.name}", count=count, first_layer=first)


def two_norms(sizes: Sizes) -> Tensors:
    """The norms before attention and before the feed-forward part."""
    yield from rms_norm("input_layernorm", sizes.hidden)
    yield from rms_norm("post_attention_layernorm", sizes.hidden)


def final_norm(sizes: Sizes) -> Tensors:
    """The norm before the head, under the name that llama began."""
    return rms_norm("model.norm", sizes.hidden)


def decoder(sizes: Sizes, layer: Tensors, *, final_norm: Iterable[ParameterTensor]) -> Family:
    """Embedding, equal layers, a last norm and the head, under the names that llama began."""
    return sizes, (
        *embedding("model.embed_tokens", sizes),
        *in_layers("model.layers", layer, count=sizes.layers),
        *final_norm,
        *head(sizes),
    )
