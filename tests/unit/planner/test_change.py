from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from planning import recipe_for

from tunekit.planner.change import Change, applied, completed, joined
from tunekit.recipe.loading import load_recipe, origin_of
from tunekit.recipe.origin import Origin
from tunekit.recipe.schema import Recipe


def change(*settings: tuple[str, object], cost: float = 0.1, note: str = "why") -> Change:
    return Change(settings=settings, harm=cost, note=note)


def written(*names: str, **keys: Any) -> Origin:
    return origin_of(recipe_for(*names, **keys))


def loaded(recipe: Recipe, typed: str) -> Recipe:
    return load_recipe(recipe.model_dump(mode="json", exclude_unset=True), typed.split()).recipe


def test_a_change_is_typed_as_words() -> None:
    typed = change(("train.max_seq_length", 1024), ("method.double_quant", True), ("output.save_steps", "null")).typed
    assert typed == "train.max_seq_length=1024 method.double_quant=true output.save_steps=null"


def test_joined_changes_add_up_and_later_settings_stand() -> None:
    both = joined([change(("a.b", 1), note="one"), change(("a.b", 2), ("c.d", 3), cost=0.2, note="two")])
    assert both.typed == "a.b=2 c.d=3"
    assert round(both.harm, 9) == 0.3
    assert both.note == "one; two"


def test_the_same_note_is_said_once() -> None:
    assert joined([change(("a.b", 1)), change(("c.d", 3))]).note == "why"


def test_an_applied_change_equals_what_loading_gives() -> None:
    recipe = recipe_for(kind="full", zero__preset="z3_offload", train__learning_rate=1e-5, output__save_steps=10)
    for settings in (
        (("train.max_seq_length", 512),),
        (("method.kind", "qlora"), ("zero.preset", "z3_qlora"), ("train.learning_rate", "auto")),
        (("output.save_steps", "null"),),
        (("zero.preset", "z3_offload_nvme"), ("zero.nvme_path", "/mnt/nvme")),
        (("hardware", "a100_80gb"),),
    ):
        wanted = change(*settings)
        assert applied(origin_of(recipe), wanted) == loaded(recipe, wanted.typed)


def test_a_change_that_the_recipe_refuses_is_none() -> None:
    assert applied(written(), change(("method.kind", "full"), ("method.rank", 8))) is None
    assert applied(written(), change(("train.max_seq_length", 1))) is None
    assert applied(written(), change(("zero.preset", "z3"), ("zero.stage", 2))) is None


def test_unset_keys_stay_unset() -> None:
    recipe = applied(written(), change(("train.max_seq_length", 512)))
    assert recipe is not None
    assert recipe.train.model_fields_set == {"max_seq_length"}


def test_another_preset_or_method_sets_aside_what_the_recipe_said_about_the_old_one() -> None:
    staged = applied(written(zero__stage=3, zero__offload_param="cpu"), change(("zero.preset", "z2")))
    assert staged is not None
    assert (staged.zero.preset, staged.zero.stage, staged.zero.offload_param) == ("z2", None, None)
    sixteen_bit = applied(written(kind="qlora", method__quantization="fp4"), change(("method.kind", "lora")))
    assert sixteen_bit is not None
    assert sixteen_bit.method.quantization == "nf4"


@pytest.mark.parametrize(
    ("typed", "wanted", "completing"),
    [
        (("zero.stage=2", "zero.bf16_states=false"), ("zero.preset", "z3"), "zero.stage=auto zero.bf16_states=auto"),
        (("zero.preset=z2",), ("zero.stage", 3), "zero.preset=auto"),
        (("method.kind=qlora", "method.quantization=fp4"), ("method.kind", "lora"), "method.quantization=null"),
        (("zero.stage=2",), ("zero.stage", 3), ""),
        (("train.seed=3", "zero.stage=auto"), ("zero.preset", "z3"), ""),
    ],
)
def test_a_change_names_what_was_typed_about_the_same_so_that_it_can_be_typed_behind_it(
    typed: tuple[str, ...], wanted: tuple[str, object], completing: str
) -> None:
    origin = replace(written(), typed=typed)
    whole = completed(origin, change(wanted))
    assert whole.words[1:] == tuple(completing.split())
    assert applied(origin, whole) is not None


def test_what_is_typed_is_not_rounded_as_what_is_shown() -> None:
    recipe = applied(written(), change(("train.learning_rate", 0.000123456789), ("train.num_epochs", 1.23456789)))
    assert recipe is not None
    assert (recipe.train.learning_rate, recipe.train.num_epochs) == (0.000123456789, 1.23456789)
