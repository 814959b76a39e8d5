"""From a model's name in a table to its shape: the catalogue first, then shapes written here."""

from __future__ import annotations

import re
from dataclasses import replace
from functools import cache

from accuracy.other_models import ALIASES, OTHER_MODELS
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
    written = _written_out(name)
    if written:
        return written
    for candidate in _candidates(name, billions):
        shape = _known().get(candidate)
        if shape:
            return _shape(shape)
    return None


def _written_out(name: str) -> ModelShape | None:
    """A model whose sizes stand in its name: (h1024,L12,a16,V50000), perhaps with ff=4096; gated where ff is given."""
    sizes = {key.lower(): int(value) for key, value in re.findall(r"\b(h|L|a|ff|V)\s*=?\s*(\d+)", name)}
    if not {"h", "l", "a", "v"} <= sizes.keys():
        return None
    gated = "ff" in sizes
    config = {
        "model_type": "llama",
        "num_hidden_layers": sizes["l"],
        "hidden_size": sizes["h"],
        "num_attention_heads": sizes["a"],
        "num_key_value_heads": sizes["a"],
        "intermediate_size": sizes.get("ff", 4 * sizes["h"]),
        "vocab_size": sizes["v"],
        "tie_word_embeddings": False,
    }
    shape = shape_from_config(config, name=name, source="benchmarks")
    if gated:
        return shape
    shape = replace(shape, tensors=_two_matrices(shape), gated_mlp=False, family="gpt_neox")
    return replace(shape, tensors=_fuse(shape))


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
    aliases = {_key(alias): name for alias, name in ALIASES.items()}
    return aliases | {_key(name): name for name in reversed(names)}


def _key(name: str) -> str:
    """What is left of a name without its owner, its variants and its signs."""
    text = name.lower().split("/")[-1] if re.fullmatch(r"[\w.-]+/[\w.-]+", name) else name.lower()
    text = re.sub(r"[-_]", " ", text)
    for noise in _NOISE:
        text = re.sub(noise, " ", text)
    text = re.sub(r"\bcode llama\b", "codellama", text)
    text = text.replace("qwen1half", "qwen1.5")
    text = re.sub(r"tiny ?llama( 1\.1b)?", "tinyllama", text)
    return re.sub(r"[^a-z0-9]", "", text)


@cache
def _shape(name: str) -> ModelShape:
    found = catalogue.find(name)
    if found:
        return found
    config = dict(OTHER_MODELS[name])
    positions = int(config.pop("learned_positions", 0))
    family, fused = config.pop("code", None), config.pop("fused_qkv", False)
    shape = shape_from_config(config, name=name, source="benchmarks")
    shape = replace(shape, family=str(family)) if family else shape
    shape = replace(shape, tensors=_two_matrices(shape), gated_mlp=False) if config.get("no_gate") else shape
    if positions:
        table = ParameterTensor(name="wpe.weight", shape=(positions, shape.hidden_size), role="other")
        shape = replace(shape, tensors=(*shape.tensors[:1], table, *shape.tensors[1:]))
    return replace(shape, tensors=_fuse(shape)) if fused else shape


@cache
def as_litgpt_builds(shape: ModelShape) -> ModelShape:
    """The same model in litgpt's code: a head of its own even where it is tied elsewhere, and plain linears only."""
    tensors = shape.tensors
    if shape.tied_embeddings:
        table = next(each for each in tensors if each.role == "embedding")
        tensors = (*tensors, replace(table, name="lm_head.weight", role="head"))
    family = "gpt_neox" if shape.family == "falcon" else shape.family
    return replace(shape, tensors=tensors, tied_embeddings=False, family=family)


@cache
def with_linear_experts(shape: ModelShape) -> ModelShape:
    """A mixture as transformers built it before version 5: every expert three linear layers."""
    if not shape.num_experts:
        return shape
    return replace(shape, tensors=tuple(part for each in shape.tensors for part in _experts(each)))


def _experts(tensor: ParameterTensor) -> list[ParameterTensor]:
    if tensor.role == "router":
        return [replace(tensor, role="linear")]
    if tensor.role != "expert":
        return [tensor]
    count, out, into = tensor.shape
    halves = 2 if "gate_up" in tensor.name else 1
    base = tensor.name.replace(".mlp.experts.", ".block_sparse_moe.experts.")
    return [
        replace(tensor, name=f"{base}.{expert}.w{half}.weight", shape=(out // halves, into), role="linear")
        for expert in range(count)
        for half in range(halves)
    ]


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
