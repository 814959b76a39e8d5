"""The shape of the model in a .gguf file: its metadata becomes the config that transformers would build from it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

from tunekit.errors import UsageError
from tunekit.model_shape.config_json import shape_from_config
from tunekit.model_shape.gguf_header import GgufHeader, read_gguf_header
from tunekit.model_shape.shape import ModelShape

_COMMON = MappingProxyType(
    {
        "context_length": "max_position_embeddings",
        "block_count": "num_hidden_layers",
        "feed_forward_length": "intermediate_size",
        "embedding_length": "hidden_size",
        "attention.head_count": "num_attention_heads",
        "attention.head_count_kv": "num_key_value_heads",
        "vocab_size": "vocab_size",
    }
)
_LLAMA = {"rope.dimension_count": "head_dim"}
_KEY_LENGTH = {"attention.key_length": "head_dim"}
_GEMMA = {**_KEY_LENGTH, "attention.sliding_window": "sliding_window"}

_ARCHITECTURES: Mapping[str, tuple[str, Mapping[str, str]]] = MappingProxyType(
    {
        "llama": ("llama", _LLAMA),
        "mistral": ("mistral", _LLAMA),
        "qwen2": ("qwen2", {}),
        "qwen3": ("qwen3", {}),
        "qwen3moe": (
            "qwen3_moe",
            {**_KEY_LENGTH, "expert_count": "num_experts", "expert_used_count": "num_experts_per_tok"},
        ),
        "phi3": ("phi3", {}),
        "gemma2": ("gemma2", _GEMMA),
        "gemma3": ("gemma3_text", _GEMMA),
        "falcon": ("falcon", {}),
        "stablelm": ("stablelm", {}),
    }
)
"""GGUF architecture to (transformers' model_type, further keys), as `transformers/integrations/ggml.py` maps them."""

_NO_PARAMETERS = frozenset({"rope_freqs.weight", "rope_factors_long.weight", "rope_factors_short.weight"})


def shape_from_gguf(path: Path) -> ModelShape:
    """The shape of the model that transformers loads from `path`; reads the header only.

    Raises UsageError where the file is no whole GGUF file, its architecture cannot be loaded for training, or its
    tensors hold another number of parameters than the model has.
    """
    header = read_gguf_header(path)
    shape = shape_from_config(config_from_gguf(header, source=str(path)), name=str(path), source=str(path))
    _check_total(header, shape, path)
    return shape


def config_from_gguf(header: GgufHeader, *, source: str) -> dict[str, Any]:
    """The `config.json` keys that decide shapes. Raises UsageError for an architecture that cannot be loaded."""
    architecture = _architecture(header, source)
    family, further = _ARCHITECTURES[architecture]
    prefix = header.metadata["general.architecture"]
    config: dict[str, Any] = {"model_type": family}
    for suffix, key in {**_COMMON, **further}.items():
        if f"{prefix}.{suffix}" in header.metadata:
            config[key] = header.metadata[f"{prefix}.{suffix}"]
    if "tokenizer.ggml.tokens" in header.metadata:
        config.setdefault("vocab_size", header.metadata["tokenizer.ggml.tokens"])
    names = [tensor.name for tensor in header.tensors]
    config["tie_word_embeddings"] = "output.weight" not in names or architecture == "falcon"
    if architecture == "stablelm":
        config["use_qkv_bias"] = any(name.endswith(("attn_q.bias", "attn_k.bias", "attn_v.bias")) for name in names)
        config["use_parallel_residual"] = not any("ffn_norm" in name for name in names)
    return config


def _architecture(header: GgufHeader, source: str) -> str:
    found = header.metadata.get("general.architecture")
    if found == "llama" and header.metadata.get("general.name") == "mistral":
        return "mistral"
    if found in _ARCHITECTURES:
        return str(found)
    known = ", ".join(sorted(_ARCHITECTURES))
    raise UsageError(
        f"{source}: a GGUF file of architecture {found} cannot be trained; transformers and tunekit both read {known}. "
        "Set model.path to the model's hub id or to a folder with its config.json."
    )


def _check_total(header: GgufHeader, shape: ModelShape, path: Path) -> None:
    counted = [tensor for tensor in header.tensors if tensor.name not in _NO_PARAMETERS]
    if shape.family == "falcon":
        counted = [tensor for tensor in counted if tensor.name != "output.weight"]
    held = sum(tensor.numel for tensor in counted)
    if held != shape.num_parameters:
        raise UsageError(
            f"{path}: its tensors hold {held:,} parameters, but a {shape.family} model of its metadata has "
            f"{shape.num_parameters:,}; transformers cannot load it. Set model.path to the model's hub id instead."
        )
