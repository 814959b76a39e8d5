"""Every model of the catalogue has as many trainable parameters, for several target sets, as the real PEFT counts."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.contract.model_shape.test_shapes_against_transformers import build, distinct_catalogue_configs, shape_of
from tunekit.model_shape.adapters import num_trainable, resolve_target_modules
from tunekit.model_shape.shape import ModelShape
from tunekit.recipe.job import Adapter

pytestmark = [pytest.mark.train, pytest.mark.filterwarnings("ignore")]

RANK = 8
CONFIGS = dict(distinct_catalogue_configs())
SAMPLE = (
    "HuggingFaceTB/SmolLM2-135M",
    "Qwen/Qwen3-0.6B",
    "google/gemma-2-2b",
    "mistralai/Mixtral-8x7B-v0.1",
    "EleutherAI/pythia-70m",
    "tiiuae/falcon-7b",
    "microsoft/Phi-4-mini-instruct",
)
FUSED = {"mixtral": {"w1", "w3"}, "qwen3_moe": {"gate_proj", "up_proj"}}
"""PEFT adapts these only together, as they are one tensor."""


def target_sets(shape: ModelShape) -> Iterator[tuple[str, ...]]:
    """All linear layers, those of attention, the others, and each alone."""
    names = resolve_target_modules(shape, "all-linear")
    attention = tuple(name for name in names if _owner(shape, name).find("att") >= 0)
    fused = FUSED.get(shape.family, set())
    others = tuple(name for name in names if name not in attention)
    yield from {names, attention, others, *((name,) for name in names if name not in fused)} - {()}


def _owner(shape: ModelShape, leaf: str) -> str:
    return next((tensor.name for tensor in shape.tensors if f".{leaf}." in tensor.name), "")


def counted_by_peft(model: Any, targets: tuple[str, ...]) -> int:
    """Trainable elements of the real model, wrapped on the meta device and unwrapped again."""
    torch = pytest.importorskip("torch")
    peft = pytest.importorskip("peft")
    with torch.device("meta"):
        adapted = peft.get_peft_model(model, peft.LoraConfig(r=RANK, target_modules=list(targets)))
    found = sum(value.numel() for value in adapted.parameters() if value.requires_grad)
    adapted.unload()
    return found


def compare(config: dict[str, Any]) -> int:
    """Compare every target set of a model; how many there were."""
    shape, model = shape_of(config), build(config)
    sets = list(target_sets(shape))
    for targets in sets:
        adapter = Adapter(rank=RANK, alpha=RANK, dropout=0.0, target_modules=targets)
        assert num_trainable(shape, "lora", adapter) == counted_by_peft(model, targets), targets
    return len(sets)


@pytest.mark.parametrize("name", SAMPLE)
def test_trainable_parameters_of_a_sample(name: str) -> None:
    assert compare({**CONFIGS[name], "num_hidden_layers": 3}) >= 3


@pytest.mark.parametrize("name", CONFIGS)
def test_trainable_parameters_of_every_model(name: str) -> None:
    assert compare(CONFIGS[name]) >= 3


def test_the_whole_catalogue_is_compared() -> None:
    assert len(CONFIGS) >= 100
    assert set(SAMPLE) <= set(CONFIGS)
