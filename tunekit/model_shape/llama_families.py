"""Families that keep llama's names: their parameters, named and shaped as transformers 5.23 builds them."""

from __future__ import annotations

from dataclasses import replace
from itertools import groupby

from tunekit.model_shape import parts
from tunekit.model_shape.keys import Keys
from tunekit.model_shape.parts import Defaults, Family, Sizes, Tensors


def _head_norms(sizes: Sizes) -> Tensors:
    """One norm over each query head and one over each key head."""
    yield from parts.rms_norm("self_attn.q_norm", sizes.head_dim)
    yield from parts.rms_norm("self_attn.k_norm", sizes.head_dim)


def llama(keys: Keys) -> Family:
    """Llama 1 to 3, CodeLlama, SmolLM, TinyLlama, Falcon 3 and everything else of model_type llama."""
    sizes = parts.read_sizes(keys, Defaults(layers=32, hidden=4096, heads=32, ffn=11008, vocab=32000, positions=2048))
    bias = keys.flag("attention_bias")

    def layer() -> Tensors:
        yield from parts.attention(sizes, bias=bias, out_bias=bias)
        yield from parts.gated_mlp(sizes, bias=keys.flag("mlp_bias"))
        yield from parts.two_norms(sizes)

    return parts.decoder(sizes, layer(), final_norm=parts.final_norm(sizes))


_MISTRAL = Defaults(layers=32, hidden=4096, heads=32, kv_heads=8, ffn=14336, vocab=32000, positions=131072)


def mistral(keys: Keys) -> Family:
    """Mistral 7B to Large; a sliding window unless it is set to null."""
    sizes = parts.with_window(keys, parts.read_sizes(keys, _MISTRAL), default=4096)

    def layer() -> Tensors:
        yield from parts.attention(sizes)
        yield from parts.gated_mlp(sizes)
        yield from parts.two_norms(sizes)

    return parts.decoder(sizes, layer(), final_norm=parts.final_norm(sizes))


def mixtral(keys: Keys) -> Family:
    """Mixtral: a mixture of experts in every layer."""
    sizes = replace(
        parts.with_window(keys, parts.read_sizes(keys, _MISTRAL)),
        experts=keys.number("num_local_experts", keys.optional_number("num_experts") or 8),
        experts_per_token=keys.number("num_experts_per_tok", 2),
    )

    def layer() -> Tensors:
        yield from parts.attention(sizes)
        yield from parts.router(sizes)
        yield from parts.experts(sizes)
        yield from parts.two_norms(sizes)

    return parts.decoder(sizes, layer(), final_norm=parts.final_norm(sizes))


def _qwen_window(keys: Keys, sizes: Sizes, *, first: int) -> Sizes:
    """A window from the layer `first` on, only where `use_sliding_window` asks for it."""
    if not keys.flag("use_sliding_window"):
        return sizes
    return parts.with_window(keys, sizes, default=4096, slides=lambda layer: layer >= first)


def qwen2(keys: Keys) -> Family:
    """Qwen 2 and 2.5: biases on q, k and v only."""
    sizes = parts.read_sizes(
        keys, Defaults(layers=32, hidden=4096, heads=32, kv_heads=32, ffn=22016, vocab=151936, positions=32768)
    )
    sizes = _qwen_window(keys, sizes, first=keys.number("max_window_layers", 28, least=0))

    def layer() -> Tensors:
        yield from parts.attention(sizes, bias=True)
        yield from parts.gated_mlp(sizes)
        yield from parts.two_norms(sizes)

    return parts.decoder(sizes, layer(), final_norm=parts.final_norm(sizes))


def qwen3(keys: Keys) -> Family:
    """Qwen 3: head_dim apart from the hidden size, a norm on queries and keys."""
    sizes = parts.read_sizes(
        keys,
        Defaults(layers=32, hidden=4096, heads=32, kv_heads=32, head_dim=128, ffn=22016, vocab=151936, positions=32768),
    )
    sizes = _qwen_window(keys, sizes, first=keys.number("max_window_layers", 28, least=0))
    bias = keys.flag("attention_bias")

    def layer() -> Tensors:
        yield from parts.attention(sizes, bias=bias, out_bias=bias)
        yield from _head_norms(sizes)
        yield from parts.gated_mlp(sizes)
        yield from parts.two_norms(sizes)

    return parts.decoder(sizes, layer(), final_norm=parts.final_norm(sizes))


def qwen3_moe(keys: Keys) -> Family:
    """Qwen 3 mixtures; single layers may be dense (decoder_sparse_step, mlp_only_layers)."""
    dense_width = keys.number("intermediate_size", 6144)
    defaults = Defaults(layers=24, hidden=2048, heads=32, kv_heads=4, ffn=6144, vocab=151936, positions=32768)
    sizes = replace(
        _qwen_window(keys, parts.read_sizes(keys, defaults), first=0),
        ffn=keys.number("moe_intermediate_size", 768),
        experts=keys.number("num_experts", keys.optional_number("num_local_experts") or 128),
        experts_per_token=keys.number("num_experts_per_tok", 8),
    )
    bias = keys.flag("attention_bias")

    def layer(sparse: bool) -> Tensors:
        yield from parts.attention(sizes, bias=bias, out_bias=bias)
        yield from _head_norms(sizes)
        if sparse:
            yield from parts.experts(sizes)
            yield from parts.router(sizes)
        else:
            yield from parts.gated_mlp(sizes, width=dense_width)
        yield from parts.two_norms(sizes)

    def layers() -> Tensors:
        for first, count, sparse in _runs_of_sparse_layers(keys, sizes.layers):
            yield from parts.in_layers("model.layers", layer(sparse), count=count, first=first)

    return sizes, (
        *parts.embedding("model.embed_tokens", sizes),
        *layers(),
        *parts.final_norm(sizes),
        *parts.head(sizes),
    )


def _runs_of_sparse_layers(keys: Keys, layers: int) -> list[tuple[int, int, bool]]:
    """(first layer, number of layers, whether they are mixtures) of each run of equal layers."""
    step, dense = keys.number("decoder_sparse_step", 1), set(keys.numbers("mlp_only_layers"))
    kinds = [(layer not in dense and (layer + 1) % step == 0, layer) for layer in range(layers)]
    runs = []
    for sparse, group in groupby(kinds, key=lambda kind: kind[0]):
        members = [layer for _, layer in group]
        runs.append((members[0], len(members), sparse))
    return runs


def gemma(keys: Keys) -> Family:
    """Gemma 1 and CodeGemma."""
    sizes = parts.read_sizes(
        keys,
        Defaults(
            layers=28,
            hidden=3072,
            heads=16,
            kv_heads=16,
            head_dim=256,
            ffn=24576,
            vocab=256000,
            positions=8192,
            tied=True,
        ),
    )
    bias = keys.flag("attention_bias")

    def layer() -> Tensors:
        yield from parts.attention(sizes, bias=bias, out_bias=bias)
        yield from parts.gated_mlp(sizes)
        yield from parts.two_norms(sizes)

    return parts.decoder(sizes, layer(), final_norm=parts.final_norm(sizes))


def _gemma_norms(sizes: Sizes) -> Tensors:
    yield from parts.two_norms(sizes)
    yield from parts.rms_norm("pre_feedforward_layernorm", sizes.hidden)
    yield from parts.rms_norm("post_feedforward_layernorm", sizes.hidden)


def _gemma2_defaults(vocab: int, positions: int) -> Defaults:
    return Defaults(
        layers=26, hidden=2304, heads=8, kv_heads=4, head_dim=256, ffn=9216, vocab=vocab, positions=positions, tied=True
    )


def gemma2(keys: Keys) -> Family:
    """Gemma 2: four norms per layer, a sliding window in every second one."""
    sizes = parts.read_sizes(keys, _gemma2_defaults(256000, 8192))
    sizes = parts.with_window(keys, sizes, default=4096, slides=lambda layer: layer % 2 == 0)
    bias = keys.flag("attention_bias")

    def layer() -> Tensors:
        yield from parts.attention(sizes, bias=bias, out_bias=bias)
        yield from parts.gated_mlp(sizes)
        yield from _gemma_norms(sizes)

    return parts.decoder(sizes, layer(), final_norm=parts.final_norm(sizes))


def gemma3_text(keys: Keys) -> Family:
    """Gemma 3 without the image tower: gemma2 with a norm on queries and keys, and a window in five of six layers."""
    sizes = parts.read_sizes(keys, _gemma2_defaults(262208, 131072))
    period = keys.number("sliding_window_pattern", 6)
    sizes = parts.with_window(keys, sizes, default=4096, slides=lambda layer: (layer + 1) % period > 0)
    bias = keys.flag("attention_bias")

    def layer() -> Tensors:
        yield from parts.attention(sizes, bias=bias, out_bias=bias)
        yield from _head_norms(sizes)
        yield from parts.gated_mlp(sizes)
        yield from _gemma_norms(sizes)

    return parts.decoder(sizes, layer(), final_norm=parts.final_norm(sizes))


def olmo(keys: Keys) -> Family:
    """OLMo 1: norms without any parameter."""
    sizes = parts.read_sizes(keys, Defaults(layers=32, hidden=4096, heads=32, ffn=11008, vocab=50304, positions=2048))
    bias = keys.flag("attention_bias")

    def layer() -> Tensors:
        yield from parts.attention(sizes, bias=bias, out_bias=bias)
        yield from parts.gated_mlp(sizes)

    return parts.decoder(sizes, layer(), final_norm=())


def olmo2(keys: Keys) -> Family:
    """OLMo 2: norms after each part, and over all queries and all keys."""
    sizes = parts.read_sizes(keys, Defaults(layers=32, hidden=4096, heads=32, ffn=11008, vocab=50304, positions=2048))
    bias = keys.flag("attention_bias")

    def layer() -> Tensors:
        yield from parts.attention(sizes, bias=bias, out_bias=bias)
        yield from parts.rms_norm("self_attn.q_norm", sizes.queries)
        yield from parts.rms_norm("self_attn.k_norm", sizes.keys)
        yield from parts.gated_mlp(sizes)
        yield from parts.rms_norm("post_attention_layernorm", sizes.hidden)
        yield from parts.rms_norm("post_feedforward_layernorm", sizes.hidden)

    return parts.decoder(sizes, layer(), final_norm=parts.final_norm(sizes))
