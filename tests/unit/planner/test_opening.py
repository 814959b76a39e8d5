from __future__ import annotations

import pytest
from planning import LLAMA_8B, recipe_for

from tunekit.planner.opening import SEARCHED, opened
from tunekit.recipe.job import Batch
from tunekit.recipe.keys import all_keys
from tunekit.recipe.loading import load_recipe, origin_of

BATCH = Batch(micro_batch_size=2, gradient_accumulation_steps=4, world_size=2)


def test_what_is_stated_of_places_and_passes_is_left_open_and_nothing_else() -> None:
    recipe = recipe_for(LLAMA_8B, "full", zero__preset="z3", train__micro_batch_size=2, train__max_seq_length=512)
    assert opened(origin_of(recipe), recipe, BATCH) == (("zero.preset", "auto"), ("train.micro_batch_size", "auto"))


def test_rows_per_step_stay_where_only_the_passes_said_them() -> None:
    recipe = recipe_for(LLAMA_8B, "full", train__micro_batch_size=2, train__gradient_accumulation_steps=4)
    assert dict(opened(origin_of(recipe), recipe, BATCH))["train.global_batch_size"] == 16


def test_a_deepspeed_json_of_the_users_own_is_not_opened() -> None:
    recipe = recipe_for(LLAMA_8B, "full", train__micro_batch_size=2)
    zero = recipe.zero.model_copy(update={"config": "mine.json"})
    assert opened(origin_of(recipe), recipe.model_copy(update={"zero": zero}), BATCH) == ()


@pytest.mark.parametrize(
    ("zero", "typed", "open_again"),
    [
        ({"preset": "z3"}, "zero.stage=0", {"zero.preset": "auto", "zero.stage": "auto"}),
        ({"stage": 3, "bf16_states": "auto"}, "zero.preset=z2", {"zero.preset": "auto", "zero.stage": "auto"}),
        ({"config": "mine.json"}, "zero.preset=z2", {"zero.preset": "auto", "zero.config": "null"}),
    ],
)
def test_what_a_typed_word_sets_aside_in_the_file_is_left_open_too(
    zero: dict[str, str], typed: str, open_again: dict[str, str]
) -> None:
    loaded = load_recipe({**recipe_for(LLAMA_8B).model_dump(exclude_unset=True), "zero": zero}, [typed])
    words = opened(loaded.origin, loaded.recipe, BATCH)
    assert dict(words) == open_again
    left = loaded.origin.behind([f"{key}={value}" for key, value in words]).zero
    assert (left.preset, left.stage, left.config) == (None, None, None)


def test_every_key_that_may_be_opened_exists_and_takes_auto() -> None:
    keys = all_keys()
    assert {path for path in SEARCHED if keys[path].auto} == SEARCHED
