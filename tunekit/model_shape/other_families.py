"""Families with names or parts of their own: phi, GPT-NeoX, Falcon, StableLM, as transformers 5.23 builds them."""

from __future__ import annotations

from dataclasses import replace

from tunekit.model_shape import parts
from tunekit.model_shape.keys import Keys
from tunekit.model_shape.parts import Defaults, Family, Sizes, Tensors


def phi3(keys: Keys) -> Family:
    """Phi 3 and 4: q, k, v in one matrix, gate and up in another."""
    sizes = parts.read_sizes(keys, Defaults(layers=32, hidden=3072, heads=32, ffn=8192, vocab=32064, positions=4096))
    sizes = parts.with_window(keys, sizes)

    def layer() -> Tensors:
        yield from parts.linear("self_attn.o_proj", sizes.hidden, sizes.queries)
        yield from parts.linear("self_attn.qkv_proj", sizes.queries + 2 * sizes.keys, sizes.hidden)
        yield from parts.linear("mlp.gate_up_proj", 2 * sizes.ffn, sizes.hidden)
        yield from parts.linear("mlp.down_proj", sizes.hidden, sizes.ffn)
        yield from parts.two_norms(sizes)

    return parts.decoder(sizes, layer(), final_norm=parts.final_norm(sizes))


def phi(keys: Keys) -> Family:
    """Phi 1, 1.5 and 2: biases everywhere, also on the head; one norm per layer."""
    defaults = Defaults(layers=24, hidden=2048, heads=32, ffn=8192, vocab=51200, positions=2048)
    sizes = replace(parts.read_sizes(keys, defaults), gated=False)

    def layer() -> Tensors:
        for name, width in (("q_proj", sizes.queries), ("k_proj", sizes.keys), ("v_proj", sizes.keys)):
            yield from parts.linear(f"self_attn.{name}", width, sizes.hidden, bias=True)
        yield from parts.linear("self_attn.dense", sizes.hidden, sizes.queries, bias=True)
        if keys.flag("qk_layernorm"):
            yield from parts.layer_norm("self_attn.q_layernorm", sizes.hidden // sizes.heads)
            yield from parts.layer_norm("self_attn.k_layernorm", sizes.hidden // sizes.heads)
        yield from parts.linear("mlp.fc1", sizes.ffn, sizes.hidden, bias=True)
        yield from parts.linear("mlp.fc2", sizes.hidden, sizes.ffn, bias=True)
        yield from parts.layer_norm("input_layernorm", sizes.hidden)

    return sizes, (
        *parts.embedding("model.embed_tokens", sizes),
        *parts.in_layers("model.layers", layer(), count=sizes.layers),
        *parts.layer_norm("model.final_layernorm", sizes.hidden),
        *parts.head(sizes, bias=True),
    )


def gpt_neox(keys: Keys) -> Family:
    """GPT-NeoX, Pythia and the first StableLM: q, k, v in one matrix."""
    defaults = Defaults(layers=44, hidden=6144, heads=64, ffn=24576, vocab=50432, positions=2048, fixed_head_dim=True)
    read = parts.read_sizes(keys, defaults)
    sizes = replace(read, kv_heads=read.heads, gated=False)
    bias = keys.flag("attention_bias", default=True)

    def layer() -> Tensors:
        yield from parts.layer_norm("input_layernorm", sizes.hidden)
        yield from parts.layer_norm("post_attention_layernorm", sizes.hidden)
        yield from parts.linear("attention.query_key_value", 3 * sizes.hidden, sizes.hidden, bias=bias)
        yield from parts.linear("attention.dense", sizes.hidden, sizes.hidden, bias=bias)
        yield from parts.linear("mlp.dense_h_to_4h", sizes.ffn, sizes.hidden, bias=True)
        yield from parts.linear("mlp.dense_4h_to_h", sizes.hidden, sizes.ffn, bias=True)

    return sizes, (
        *parts.embedding("gpt_neox.embed_in", sizes),
        *parts.in_layers("gpt_neox.layers", layer(), count=sizes.layers),
        *parts.layer_norm("gpt_neox.final_layer_norm", sizes.hidden),
        *parts.head(sizes),
    )


def falcon(keys: Keys) -> Family:
    """Falcon 7B, 40B and 180B; the newer Falcon 3 are llama."""
    sizes = _falcon_sizes(keys)
    bias = keys.flag("bias")

    def layer() -> Tensors:
        yield from parts.linear("self_attention.query_key_value", _falcon_qkv(keys, sizes), sizes.hidden, bias=bias)
        yield from parts.linear("self_attention.dense", sizes.hidden, sizes.hidden, bias=bias)
        yield from parts.linear("mlp.dense_h_to_4h", sizes.ffn, sizes.hidden, bias=bias)
        yield from parts.linear("mlp.dense_4h_to_h", sizes.hidden, sizes.ffn, bias=bias)
        for name in _falcon_norms(keys):
            yield from parts.layer_norm(name, sizes.hidden)

    return sizes, (
        *parts.embedding("transformer.word_embeddings", sizes),
        *parts.in_layers("transformer.h", layer(), count=sizes.layers),
        *parts.layer_norm("transformer.ln_f", sizes.hidden),
        *parts.head(sizes),
    )


def _falcon_sizes(keys: Keys) -> Sizes:
    hidden = keys.number("n_embed", keys.number("hidden_size", 4544))
    heads = keys.number("num_attention_heads", 71)
    shared_keys = keys.flag("multi_query", default=True) and not keys.flag("new_decoder_architecture")
    return Sizes(
        layers=keys.number("num_hidden_layers", 32),
        hidden=hidden,
        heads=heads,
        kv_heads=1 if shared_keys else keys.number("num_kv_heads", heads),
        head_dim=keys.split("hidden_size", hidden, "num_attention_heads", heads),
        ffn=keys.number("ffn_hidden_size", 4 * hidden),
        vocab=keys.number("vocab_size", 65024),
        positions=keys.number("max_position_embeddings", 2048),
        tied=keys.flag("tie_word_embeddings", default=True),
        gated=False,
    )


def _falcon_qkv(keys: Keys, sizes: Sizes) -> int:
    if keys.flag("new_decoder_architecture") or keys.flag("multi_query", default=True):
        return sizes.queries + 2 * sizes.keys
    return 3 * sizes.hidden


def _falcon_norms(keys: Keys) -> tuple[str, ...]:
    if not keys.flag("parallel_attn", default=True):
        return ("post_attention_layernorm", "input_layernorm")
    default = 2 if keys.flag("new_decoder_architecture") else 1
    return ("ln_attn", "ln_mlp") if keys.number("num_ln_in_parallel_attn", default) == 2 else ("input_layernorm",)


def stablelm(keys: Keys) -> Family:
    """StableLM 3B, 2 and Stable Code; a norm per head where qk_layernorm is set."""
    sizes = parts.read_sizes(
        keys,
        Defaults(
            layers=32,
            hidden=2560,
            heads=32,
            kv_heads=32,
            ffn=6912,
            vocab=50304,
            positions=4096,
            fixed_head_dim=True,
        ),
    )

    def layer() -> Tensors:
        yield from parts.attention(sizes, bias=keys.flag("use_qkv_bias"))
        if keys.flag("qk_layernorm"):
            for name, heads in (("q_layernorm", sizes.heads), ("k_layernorm", sizes.kv_heads)):
                for head in range(heads):
                    yield from parts.rms_norm(f"self_attn.{name}.norms.{head}", sizes.head_dim)
        yield from parts.gated_mlp(sizes)
        yield from parts.layer_norm("input_layernorm", sizes.hidden)
        if not keys.flag("use_parallel_residual"):
            yield from parts.layer_norm("post_attention_layernorm", sizes.hidden)

    return parts.decoder(sizes, layer(), final_norm=parts.layer_norm("model.norm", sizes.hidden))
