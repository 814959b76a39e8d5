"""LoRA's parameters held against the real PEFT on every family."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from tunekit.errors import RecipeError
from tunekit.model_shape.adapters import num_trainable, resolve_target_modules, trainable_tensors
from tunekit.model_shape.config_json import shape_from_config
from tunekit.recipe.job import Adapter

pytestmark = [pytest.mark.train, pytest.mark.filterwarnings("ignore")]

TINY = json.loads((Path(__file__).parent / "tiny_configs.json").read_text(encoding="utf-8"))
RANK = 4


def with_peft(variant: str, **options: Any) -> dict[str, tuple[int, ...]]:
    """What PEFT makes trainable on the real model, on the meta device."""
    torch = pytest.importorskip("torch")
    transformers = pytest.importorskip("transformers")
    peft = pytest.importorskip("peft")
    with torch.device("meta"):
        model = transformers.AutoModelForCausalLM.from_config(transformers.AutoConfig.for_model(**TINY[variant]))
        adapted = peft.get_peft_model(model, peft.LoraConfig(r=RANK, lora_alpha=8, **options))
    return {name: tuple(value.shape) for name, value in adapted.named_parameters() if value.requires_grad}


def without(variant: str, targets: Any, saved: tuple[str, ...] = ()) -> dict[str, tuple[int, ...]]:
    """What tunekit says is trainable."""
    shape = shape_from_config(TINY[variant], name=variant, source="test")
    names = resolve_target_modules(shape, targets)
    adapter = Adapter(rank=RANK, alpha=8, dropout=0.0, target_modules=names, modules_to_save=saved)
    listed = {name: tensor.shape for tensor in trainable_tensors(shape, "lora", adapter) for name in tensor.names}
    assert num_trainable(shape, "lora", adapter) == sum(size(sides) for sides in listed.values())
    return listed


def size(sides: tuple[int, ...]) -> int:
    total = 1
    for side in sides:
        total *= side
    return total


@pytest.mark.parametrize("variant", TINY)
def test_all_linear_is_what_peft_makes_of_it(variant: str) -> None:
    assert without(variant, "all-linear") == with_peft(variant, target_modules="all-linear")


@pytest.mark.parametrize("variant", TINY)
def test_the_resolved_names_mean_the_same_to_peft(variant: str) -> None:
    shape = shape_from_config(TINY[variant], name=variant, source="test")
    names = list(resolve_target_modules(shape, "all-linear"))
    assert with_peft(variant, target_modules=names) == with_peft(variant, target_modules="all-linear")


@pytest.mark.parametrize("variant", TINY)
def test_each_single_module_is_what_peft_makes_of_it(variant: str) -> None:
    shape = shape_from_config(TINY[variant], name=variant, source="test")
    fused = {"w1", "w3"} if shape.family == "mixtral" else set()
    fused |= {"gate_proj", "up_proj"} if shape.family == "qwen3_moe" else set()
    for name in set(resolve_target_modules(shape, "all-linear")) - fused:
        assert without(variant, [name]) == with_peft(variant, target_modules=[name]), name


@pytest.mark.parametrize("variant", ["llama", "llama_tied", "gpt_neox", "phi_norms_tied", "falcon", "mixtral"])
def test_head_and_embedding_when_they_are_named(variant: str) -> None:
    shape = shape_from_config(TINY[variant], name=variant, source="test")
    table = next(tensor.name for tensor in shape.tensors if tensor.role == "embedding").split(".")[-2]
    names = ["lm_head", table]
    assert without(variant, names) == with_peft(variant, target_modules=names)


@pytest.mark.parametrize("variant", ["llama", "llama_tied", "phi", "phi_norms_tied", "stablelm_norms", "mixtral"])
@pytest.mark.parametrize("saved", [("lm_head",), ("embed_tokens",), ("embed_tokens", "lm_head"), ("mlp",)])
def test_modules_saved_in_full_are_what_peft_makes_of_them(variant: str, saved: tuple[str, ...]) -> None:
    expected = with_peft(variant, target_modules=["q_proj", "v_proj"], modules_to_save=list(saved))
    assert without(variant, ["q_proj", "v_proj"], saved) == expected


def test_norms_saved_by_the_end_of_their_name() -> None:
    expected = with_peft("llama", target_modules=["q_proj"], modules_to_save=["norm"])
    assert without("llama", ["q_proj"], ("norm",)) == expected


def test_what_is_saved_is_not_adapted() -> None:
    options = {"target_modules": ["q_proj", "down_proj"], "modules_to_save": ["down_proj"]}
    assert without("llama", ["q_proj", "down_proj"], ("down_proj",)) == with_peft("llama", **options)


@pytest.mark.parametrize(("variant", "half"), [("mixtral", "w1"), ("qwen3_moe", "up_proj")])
def test_half_of_a_fused_pair_is_refused_by_peft_and_by_us(variant: str, half: str) -> None:
    with pytest.raises(ValueError, match="fused"):
        with_peft(variant, target_modules=["q_proj", half])
    with pytest.raises(RecipeError, match=re.escape("method.target_modules") + ".*fused"):
        without(variant, ["q_proj", half])


@pytest.mark.parametrize("variant", ["mixtral", "qwen3_moe"])
def test_dropout_on_experts_is_refused_by_peft_and_by_us(variant: str) -> None:
    with pytest.raises(ValueError, match="lora_dropout"):
        with_peft(variant, target_modules="all-linear", lora_dropout=0.1)
    shape = shape_from_config(TINY[variant], name=variant, source="test")
    names = resolve_target_modules(shape, "all-linear")
    with pytest.raises(RecipeError, match=r"method\.dropout"):
        num_trainable(shape, "lora", Adapter(rank=RANK, alpha=8, dropout=0.1, target_modules=names))
