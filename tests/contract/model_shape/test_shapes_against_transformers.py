"""Every parameter's name and shape, and the totals, held against transformers on the meta device."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from tunekit.model_shape import catalogue
from tunekit.model_shape.config_json import shape_from_config
from tunekit.model_shape.families import FAMILIES
from tunekit.model_shape.shape import ModelShape

pytestmark = pytest.mark.train

TINY = json.loads((Path(__file__).parent / "tiny_configs.json").read_text(encoding="utf-8"))
SMALL = {"num_hidden_layers": 2, "max_position_embeddings": 64}


def build(config: Mapping[str, Any]) -> Any:
    """The real model without memory."""
    torch = pytest.importorskip("torch")
    transformers = pytest.importorskip("transformers")
    with torch.device("meta"):
        return transformers.AutoModelForCausalLM.from_config(transformers.AutoConfig.for_model(**config))


def theirs(config: Mapping[str, Any]) -> dict[str, tuple[int, ...]]:
    return {name: tuple(parameter.shape) for name, parameter in build(config).named_parameters()}


def ours(shape: ModelShape) -> dict[str, tuple[int, ...]]:
    return {name: tensor.shape for tensor in shape.tensors for name in tensor.names}


def shape_of(config: Mapping[str, Any]) -> ModelShape:
    return shape_from_config(config, name="m", source="test")


def distinct_catalogue_configs() -> Iterator[tuple[str, dict[str, Any]]]:
    """One name per configuration; the context length decides no shape and costs time to build."""
    seen: set[str] = set()
    for name in catalogue.names():
        config = {**(catalogue.config_of(name) or {}), "max_position_embeddings": 64}
        key = json.dumps(config, sort_keys=True)
        if key not in seen:
            seen.add(key)
            yield name, config


def test_every_catalogue_entry_equals_the_real_model() -> None:
    checked = 0
    for name, config in distinct_catalogue_configs():
        shape, parameters = shape_of(config), theirs(config)
        assert ours(shape) == parameters, name
        assert shape.num_parameters == sum(torch_size(size) for size in parameters.values()), name
        checked += 1
    assert checked >= 100


def torch_size(shape: tuple[int, ...]) -> int:
    size = 1
    for side in shape:
        size *= side
    return size


@pytest.mark.parametrize("variant", TINY)
def test_variants_equal_the_real_model_in_names_shapes_and_order(variant: str) -> None:
    shape, parameters = shape_of(TINY[variant]), theirs(TINY[variant])
    assert ours(shape) == parameters
    first_layer = [name for name in ours(shape) if ".0." in name.partition("norms")[0]]
    assert first_layer == [name for name in parameters if ".0." in name.partition("norms")[0]]


@pytest.mark.parametrize("family", FAMILIES)
def test_missing_keys_get_the_defaults_of_the_real_config_class(family: str) -> None:
    config = {"model_type": family, **SMALL}
    assert ours(shape_of(config)) == theirs(config)


@pytest.mark.parametrize("family", FAMILIES)
def test_layer_count_and_context_default_as_the_real_config_class(family: str) -> None:
    transformers = pytest.importorskip("transformers")
    real, shape = transformers.AutoConfig.for_model(family), shape_of({"model_type": family})
    assert (shape.num_layers, shape.max_positions) == (real.num_hidden_layers, real.max_position_embeddings)


def test_the_variants_cover_every_family() -> None:
    assert {config["model_type"] for config in TINY.values()} == set(FAMILIES)


@pytest.mark.parametrize("variant", TINY)
def test_the_gated_flag_and_the_linears_are_what_the_modules_are(variant: str) -> None:
    torch = pytest.importorskip("torch")
    model, shape = build(TINY[variant]), shape_of(TINY[variant])
    linears = {name for name, module in model.named_modules() if isinstance(module, torch.nn.Linear)} - {"lm_head"}
    listed = {name for tensor in shape.tensors if tensor.role == "linear" for name in tensor.names}
    assert listed == {f"{name}.weight" for name in linears}
    assert shape.gated_mlp == any("gate_proj" in name or "gate_up_proj" in name for name in ours(shape))


def test_every_catalogue_entry_has_the_windows_of_the_real_config_class() -> None:
    transformers = pytest.importorskip("transformers")
    windowed = 0
    for name, config in distinct_catalogue_configs():
        real, shape = transformers.AutoConfig.for_model(**config), shape_of(config)
        window = getattr(real, "sliding_window", None) or 0
        kinds = getattr(real, "layer_types", None) or ["sliding_attention"] * shape.num_layers
        layers = kinds.count("sliding_attention") if window else 0
        assert (shape.sliding_window, shape.sliding_layers) == (window if layers else 0, layers), name
        windowed += bool(layers)
    assert windowed >= 8
