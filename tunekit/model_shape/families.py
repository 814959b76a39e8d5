"""The table of model families: transformers' `model_type` to the function that knows its parameters."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType

from tunekit.model_shape import llama_families as like_llama
from tunekit.model_shape import other_families as other
from tunekit.model_shape.keys import Keys
from tunekit.model_shape.parts import Family

FAMILIES: Mapping[str, Callable[[Keys], Family]] = MappingProxyType(
    {
        "llama": like_llama.llama,
        "mistral": like_llama.mistral,
        "mixtral": like_llama.mixtral,
        "qwen2": like_llama.qwen2,
        "qwen3": like_llama.qwen3,
        "qwen3_moe": like_llama.qwen3_moe,
        "gemma": like_llama.gemma,
        "gemma2": like_llama.gemma2,
        "gemma3_text": like_llama.gemma3_text,
        "phi3": other.phi3,
        "phi": other.phi,
        "gpt_neox": other.gpt_neox,
        "falcon": other.falcon,
        "olmo": like_llama.olmo,
        "olmo2": like_llama.olmo2,
        "stablelm": other.stablelm,
    }
)
