"""A `config.json` mapping becomes a `ModelShape`, without transformers."""

from __future__ import annotations

from collections.abc import Mapping
from difflib import get_close_matches
from typing import Any

from tunekit.errors import UnknownFamily, UsageError
from tunekit.model_shape.families import FAMILIES
from tunekit.model_shape.keys import Keys
from tunekit.model_shape.shape import ModelShape


def shape_from_config(config: Mapping[str, Any], *, name: str, source: str) -> ModelShape:
    """The shape of the causal language model that transformers 5.23 builds from `config`.

    Missing keys get transformers' defaults. `source` says where the mapping was read and stands in messages.
    Raises UnknownFamily for one, and for a model with other than text parts, UsageError for weights that are already
    quantised.
    """
    keys = Keys(values=config, source=source)
    family = _family(config, source)
    _refuse_quantised(config, source)
    sizes, tensors = FAMILIES[family](keys)
    return ModelShape(
        name=name,
        family=family,
        num_layers=sizes.layers,
        hidden_size=sizes.hidden,
        num_heads=sizes.heads,
        num_kv_heads=sizes.kv_heads,
        head_dim=sizes.head_dim,
        ffn_size=sizes.ffn,
        vocab_size=sizes.vocab,
        max_positions=sizes.positions,
        tied_embeddings=sizes.tied,
        num_experts=sizes.experts,
        experts_per_token=sizes.experts_per_token,
        gated_mlp=sizes.gated,
        sliding_window=sizes.window if sizes.windowed else 0,
        sliding_layers=sizes.windowed,
        tensors=tensors,
        source=source,
    )


def _family(config: Mapping[str, Any], source: str) -> str:
    family = config.get("model_type")
    if family in FAMILIES:
        return str(family)
    known = ", ".join(sorted(FAMILIES))
    if family is None:
        raise UsageError(f"{source}: model_type is missing; one of {known} belongs there.")
    if "text_config" in config:
        raise UnknownFamily(
            f"{source}: {family} is a model with more than text parts (it has a text_config); tunekit trains "
            f"text-only models of {known}. Name a text-only version of it as model.path."
        )
    near = get_close_matches(str(family), FAMILIES, n=1)
    hint = f" The nearest is {near[0]}." if near else ""
    raise UnknownFamily(
        f"{source}: model_type {family} is not a family tunekit knows. Known: {known}.{hint} "
        "Set model.path to a model of one of these."
    )


def _refuse_quantised(config: Mapping[str, Any], source: str) -> None:
    found = config.get("quantization_config")
    if not found:
        return
    method = found.get("quant_method", "unknown") if isinstance(found, Mapping) else found
    raise UsageError(
        f"{source}: the weights are already quantised ({method}); they cannot be trained or sharded. "
        "Set model.path to the original model, and method.kind=qlora to train it in 4 bits."
    )
