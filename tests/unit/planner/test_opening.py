from __future__ import annotations

from planning import LLAMA_8B, recipe_for

from tunekit.planner.opening import SEARCHED, opened
from tunekit.recipe.job import Batch
from tunekit.recipe.keys import all_keys

BATCH = Batch(micro_batch_size=2, gradient_accumulation_steps=4, world_size=2)


def test_what_is_stated_of_places_and_passes_is_left_open_and_nothing_else() -> None:
    recipe = recipe_for(LLAMA_8B, "full", zero__preset="z3", train__micro_batch_size=2, train__max_seq_length=512)
    assert opened(recipe, BATCH) == (("zero.preset", "auto"), ("train.micro_batch_size", "auto"))


def test_rows_per_step_stay_where_only_the_passes_said_them() -> None:
    recipe = recipe_for(LLAMA_8B, "full", train__micro_batch_size=2, train__gradient_accumulation_steps=4)
    assert dict(opened(recipe, BATCH))["train.global_batch_size"] == 16


def test_a_deepspeed_json_of_the_users_own_is_not_opened() -> None:
    recipe = recipe_for(LLAMA_8B, "full", train__micro_batch_size=2)
    zero = recipe.zero.model_copy(update={"config": "mine.json"})
    assert opened(recipe.model_copy(update={"zero": zero}), BATCH) == ()


def test_every_key_that_may_be_opened_exists_and_takes_auto() -> None:
    keys = all_keys()
    assert {path for path in SEARCHED if keys[path].auto} == SEARCHED
