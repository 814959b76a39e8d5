"""From a model's name in a table to its shape: the catalogue first, then shapes written here."""

from __future__ import annotations

import re
from dataclasses import replace
from functools import cache

from accuracy.other_models import OTHER_MODELS
from tunekit.model_shape import catalogue
from tunekit.model_shape.config_json import shape_from_config
from tunekit.model_shape.shape import ModelShape, ParameterTensor

_NOISE = (
    r"\(.*?\)",
    r"\b(instruct|chat|base|hf|gptq|awq|int4|int8|it|meta|config|rl|sft|aqlm|2bit|1x16|model|chinese)\b",
    r"\bv[01]\.[0-9]\b",
    r"\bintermediate step.*",
    r"\b(25|24)\d\d\b",
)


def find_shape(name: str, billions: float | None) -> ModelShape | None:
    """The shape of the model so called, perhaps with its size in a column of its own, or None."""
    for candidate in _candidates(name, billions):
        shape = _known().get(candidate)
        if shape:
            return _shape(shape)
    return None


def _candidates(name: str, billions: float | None) -> list[str]:
    names = [part for part in (name, *re.split(r" / ", name)) if part]
    keys = [_key(part) for part in names]
    if billions:
        size = f"{billions:g}b".replace(".", "")
        keys += [key + size for key in keys]
    return keys


@cache
def _known() -> dict[str, str]:
    names = [*catalogue.names(), *OTHER_MODELS]
    return {_key(name): name for name in reversed(names)}


def _key(name: str) -> str:
    """What is left of a name without its owner, its variants and its signs."""
    text = name.lower().split("/")[-1] if re.fullmatch(r"[\w.-]+/[\w.-]+", name) else name.lower()
    text = re.sub(r"[-_]", " ", text)
    for noise in _NOISE:
        text = re.sub(noise, " ", text)
    text = re.sub(r"\bcode llama\b", "codellama", text)
    text = re.sub(r"tiny ?llama( 1\.1b)?", "tinyllama", text)
    return re.sub(r"[^a-z0-9]", "", text)


@cache
def _shape(name: str) -> ModelShape:
    found = catalogue.find(name)
    if found:
        return found
    config = dict(OTHER_MODELS[name])
    family, fused = config.pop("code", None), config.pop("fused_qkv", False)
    shape = shape_from_config(config, name=name, source="benchmarks")
    shape = replace(shape, family=str(family)) if family else shape
    shape = replace(shape, tensors=_two_matrices(shape), gated_mlp=False) if config.get("no_gate") else shape
    return replace(shape, tensors=_fuse(shape)) if fused else shape


def _two_matrices(shape: ModelShape) -> tuple[ParameterTensor, ...]:
    """A feed-forward part without a gate."""
    return tuple(each for each in shape.tensors if ".gate_proj." not in each.name)


def _fuse(shape: ModelShape) -> tuple[ParameterTensor, ...]:
    """q, k and v in one matrix, on which LoRA has one pair."""
    fused = []
    for each in shape.tensors:
        if ".k_proj." in each.name or ".v_proj." in each.name:
            continue
        if ".q_proj." in each.name:
            rows = each.shape[0] + 2 * shape.num_kv_heads * shape.head_dim
            each = replace(each, name=each.name.replace("q_proj", "c_attn"), shape=(rows, *each.shape[1:]))
        fused.append(each)
    return tuple(fused)
