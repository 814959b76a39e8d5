from __future__ import annotations

from planning import LLAMA_8B, laptop, machine, recipe_for, shape_of

from tunekit.planner.settle import settle


def test_what_needs_no_search_is_settled_with_its_decisions() -> None:
    settled, decisions, faults = settle(recipe_for(LLAMA_8B, "lora"), shape_of(LLAMA_8B), machine())
    assert faults == ()
    assert (settled.precision, settled.attention, settled.optimizer) == ("bf16", "sdpa", "adamw")
    assert settled.num_trainable == 41_943_040
    keys = {decision.key for decision in decisions}
    assert keys >= {"method.rank", "train.precision", "model.attention", "train.optimizer", "train.learning_rate"}


def test_faults_are_returned_and_the_rest_settled_without_them() -> None:
    keys = {"method__target_modules": ("nope",), "train__global_batch_size": 3}
    settled, _, faults = settle(recipe_for(LLAMA_8B, "lora", **keys), shape_of(LLAMA_8B), machine())
    assert [fault.key for fault in faults] == ["method.target_modules", "train.global_batch_size"]
    assert settled.adapter is not None
    assert settled.wish.total is None


def test_without_cards_processes_train() -> None:
    settled, _, _ = settle(recipe_for(LLAMA_8B, "lora"), shape_of(LLAMA_8B), laptop(processes=3))
    assert (settled.accelerator, settled.wish.world_size) == ("cpu", 3)
