from __future__ import annotations

from planning import recipe_for

from tunekit.planner.change import Change, applied, joined, set_preset
from tunekit.recipe.loading import load_recipe
from tunekit.recipe.schema import Recipe


def change(*settings: tuple[str, object], cost: float = 0.1, note: str = "why") -> Change:
    return Change(settings=settings, cost=cost, note=note)


def loaded(recipe: Recipe, typed: str) -> Recipe:
    return load_recipe(recipe.model_dump(mode="json", exclude_unset=True), typed.split()).recipe


def test_a_change_is_typed_as_words() -> None:
    typed = change(("train.max_seq_length", 1024), ("method.double_quant", True), ("output.save_steps", "null")).typed
    assert typed == "train.max_seq_length=1024 method.double_quant=true output.save_steps=null"


def test_joined_changes_add_up_and_later_settings_stand() -> None:
    both = joined([change(("a.b", 1), note="one"), change(("a.b", 2), ("c.d", 3), cost=0.2, note="two")])
    assert both.typed == "a.b=2 c.d=3"
    assert round(both.cost, 9) == 0.3
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
        assert applied(recipe, wanted) == loaded(recipe, wanted.typed)


def test_a_change_that_the_recipe_refuses_is_none() -> None:
    assert applied(recipe_for(kind="lora", method__rank=8), change(("method.kind", "full"))) is None
    assert applied(recipe_for(), change(("train.max_seq_length", 1))) is None
    assert applied(recipe_for(), change(("zero.preset", "z3"), ("zero.stage", 2))) is None


def test_unset_keys_stay_unset() -> None:
    recipe = applied(recipe_for(), change(("train.max_seq_length", 512)))
    assert recipe is not None
    assert recipe.train.model_fields_set == {"max_seq_length"}


def test_setting_a_preset_clears_every_other_source() -> None:
    recipe = recipe_for(zero__config="mine.json", zero__stage=3, zero__offload_param="cpu", zero__sub_group_size=5)
    assert set_preset(recipe, "z2") == (
        ("zero.preset", "z2"),
        ("zero.config", "null"),
        ("zero.stage", "auto"),
        ("zero.offload_param", "auto"),
    )
