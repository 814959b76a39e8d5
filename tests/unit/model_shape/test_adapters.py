from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tunekit.errors import RecipeError
from tunekit.model_shape import catalogue
from tunekit.model_shape.adapters import (
    adapter_tensors,
    num_trainable,
    resolve_target_modules,
    saved_tensors,
    trainable_tensors,
)
from tunekit.model_shape.shape import ModelShape
from tunekit.recipe.job import Adapter

Tiny = Callable[..., ModelShape]


def lora(*targets: str, rank: int = 4, **more: Any) -> Adapter:
    return Adapter(rank=rank, alpha=8, dropout=more.pop("dropout", 0.0), target_modules=targets, **more)


def test_all_linear_names_every_linear_but_the_head(tiny: Tiny) -> None:
    names = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")
    assert resolve_target_modules(tiny(), "all-linear") == names
    assert resolve_target_modules(tiny(), "All-Linear") == names
    assert resolve_target_modules(tiny("phi3"), "all-linear") == ("o_proj", "qkv_proj", "gate_up_proj", "down_proj")


def test_all_linear_of_a_mixture_takes_router_and_experts_under_their_old_names(tiny: Tiny) -> None:
    names = resolve_target_modules(tiny("mixtral"), "all-linear")
    assert names == ("q_proj", "k_proj", "v_proj", "o_proj", "gate", "w1", "w3", "w2")


def test_a_single_name_a_list_and_the_ends(tiny: Tiny) -> None:
    assert resolve_target_modules(tiny(), "q_proj") == ("q_proj",)
    assert resolve_target_modules(tiny(), ["q_proj", "v_proj", "q_proj"]) == ("q_proj", "v_proj")
    assert resolve_target_modules(tiny(), ["self_attn.q_proj", "lm_head"]) == ("self_attn.q_proj", "lm_head")


def test_every_unknown_name_is_reported_with_the_nearest(tiny: Tiny) -> None:
    with pytest.raises(RecipeError) as caught:
        resolve_target_modules(tiny(), ["q_prj", "v_proj", "query"])
    assert [problem.key for problem in caught.value.problems] == ["method.target_modules"] * 2
    message = str(caught.value)
    assert "q_prj is not a module LoRA can be put on in tiny-llama" in message
    assert "all-linear, or any of q_proj, k_proj" in message
    assert "nearest: q_proj" in message


def test_an_empty_list_is_refused(tiny: Tiny) -> None:
    with pytest.raises(RecipeError, match=r"method\.target_modules: an empty list"):
        resolve_target_modules(tiny(), [])


def test_pairs_are_rank_by_in_and_out_by_rank(tiny: Tiny) -> None:
    pair = adapter_tensors(tiny(), lora("down_proj"))
    assert [(tensor.name, tensor.shape, tensor.count) for tensor in pair] == [
        ("base_model.model.model.layers.{layer}.mlp.down_proj.lora_A.default.weight", (4, 96), 3),
        ("base_model.model.model.layers.{layer}.mlp.down_proj.lora_B.default.weight", (64, 4), 3),
    ]


def test_dropout_on_experts_is_refused_with_the_way_out(tiny: Tiny) -> None:
    with pytest.raises(RecipeError, match=r"method\.dropout: 0\.1; .*set method\.dropout=0"):
        adapter_tensors(tiny("mixtral"), lora("w2", dropout=0.1))
    assert adapter_tensors(tiny("mixtral"), lora("q_proj", dropout=0.1))


def test_trainable_under_each_method(tiny: Tiny) -> None:
    shape = tiny()
    assert trainable_tensors(shape, "full", None) == shape.tensors
    assert num_trainable(shape, "full", None) == shape.num_parameters
    expected = 3 * 4 * (64 + 64)
    assert num_trainable(shape, "lora", lora("q_proj")) == expected
    assert num_trainable(shape, "qlora", lora("q_proj")) == expected
    with pytest.raises(ValueError, match="has no adapter"):
        trainable_tensors(shape, "lora", None)


def test_modules_saved_in_full_count_whole_even_where_tied(tiny: Tiny) -> None:
    shape = tiny(tie_word_embeddings=True)
    saved = lora("q_proj", modules_to_save=("lm_head",))
    assert num_trainable(shape, "lora", saved) == 3 * 4 * 128 + 128 * 64
    assert [tensor.name for tensor in saved_tensors(shape, ("lm_head",))] == [
        "base_model.model.lm_head.modules_to_save.default.weight"
    ]


def test_what_is_saved_gets_no_adapter(tiny: Tiny) -> None:
    assert adapter_tensors(tiny(), lora("down_proj", modules_to_save=("down_proj",))) == ()
    assert adapter_tensors(tiny(), lora("down_proj", modules_to_save=("mlp",))) == ()


def test_saving_what_is_not_there_is_an_error(tiny: Tiny) -> None:
    with pytest.raises(RecipeError, match=r"method\.modules_to_save: lm_hed is not a module of tiny-llama; .*lm_head"):
        num_trainable(tiny(), "lora", lora("q_proj", modules_to_save=("lm_hed",)))


def test_a_well_known_number() -> None:
    """LoRA of rank 8 on q_proj and v_proj of Llama-2-7B: 4,194,304, as PEFT's own examples print it."""
    shape = catalogue.find("meta-llama/Llama-2-7b-hf")
    assert shape is not None
    assert num_trainable(shape, "lora", lora("q_proj", "v_proj", rank=8)) == 4_194_304
