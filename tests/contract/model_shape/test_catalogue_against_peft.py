"""Every model of the catalogue has as many trainable parameters, for several target sets, as the real PEFT counts."""

from __future__ import annotations

from collections import Counter
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


def counted_by_peft(model: Any, targets: tuple[str, ...]) -> Counter[str]:
    """Trainable elements by the module they adapt: the real model, wrapped on the meta device and unwrapped again."""
    torch = pytest.importorskip("torch")
    peft = pytest.importorskip("peft")
    with torch.device("meta"):
        adapted = peft.get_peft_model(model, peft.LoraConfig(r=RANK, target_modules=list(targets)))
    found: Counter[str] = Counter()
    for name, value in adapted.named_parameters():
        if value.requires_grad:
            found[name.partition(".lora_")[0].rpartition(".")[2]] += value.numel()
    adapted.unload()
    return found


def counted_by_us(shape: ModelShape, targets: tuple[str, ...]) -> int:
    """The same in all, by the shape."""
    return num_trainable(shape, "lora", Adapter(rank=RANK, alpha=RANK, dropout=0.0, target_modules=targets))


@pytest.mark.parametrize("name", SAMPLE)
def test_trainable_parameters_of_a_sample(name: str) -> None:
    """Every set by a wrapping of its own."""
    config = {**CONFIGS[name], "num_hidden_layers": 3}
    shape, model = shape_of(config), build(config)
    sets = list(target_sets(shape))
    assert len(sets) >= 3
    for targets in sets:
        assert counted_by_us(shape, targets) == counted_by_peft(model, targets).total(), targets


@pytest.mark.parametrize("name", CONFIGS)
def test_trainable_parameters_of_every_model(name: str) -> None:
    """PEFT adapts a module alike whatever else it adapts: one wrapping counts for every set, but for fused experts.

    All layers of the sample, four of the others: every layer has the tensors that the real model has, which
    test_shapes_against_transformers.py counts.
    """
    config = CONFIGS[name] if name in SAMPLE else {**CONFIGS[name], "num_hidden_layers": 4}
    shape, model = shape_of(config), build(config)
    every = resolve_target_modules(shape, "all-linear")
    found, sets = counted_by_peft(model, every), list(target_sets(shape))
    assert len(sets) >= 3
    for targets in sets:
        alike = set(found) == set(every)
        theirs = sum(found[each] for each in targets) if alike else counted_by_peft(model, targets).total()
        assert counted_by_us(shape, targets) == theirs, targets


def test_the_whole_catalogue_is_compared() -> None:
    assert len(CONFIGS) >= 100
    assert set(SAMPLE) <= set(CONFIGS)
