from __future__ import annotations

import pytest

from tests.planning import SMOLLM, recipe_for
from tunekit.errors import RecipeError, UsageError
from tunekit.hardware.profiles import load_profile
from tunekit.recipe.loading import load_recipe
from tunekit.source import find_hardware, plan_loaded, read_source, words_of

TREE = {"model": {"path": SMOLLM}, "data": {"path": "rows.jsonl"}, "output": {"dir": "runs/x"}}


def test_a_value_keeps_its_text_for_the_run_directory() -> None:
    loaded = load_recipe("quickstart")
    assert read_source(loaded) is loaded
    assert "max_seq_length" in read_source(recipe_for()).text


def test_changes_are_given_one_by_one_or_as_they_are_typed() -> None:
    asked = ("train.loss=full", "data.path=my rows.jsonl")
    assert tuple(words_of("train.loss=full 'data.path=my rows.jsonl'")) == asked
    assert words_of(asked) == asked
    assert read_source(TREE, "train.max_seq_length=64 train.max_steps=3").recipe.train.max_steps == 3


def test_a_machine_is_found_by_name_and_asked_for_beside_the_recipe() -> None:
    assert find_hardware("dual_rtx4090") == load_profile("dual_rtx4090")
    plan = plan_loaded(read_source(TREE), on="single_rtx4090")
    assert (plan.hardware.name, plan.recipe.hardware) == ("single_rtx4090", "single_rtx4090")
    with pytest.raises(UsageError, match="Did you mean dual_rtx4090"):
        find_hardware("dual_rtx409")


def test_data_that_is_not_there_is_told_with_the_other_faults_of_a_recipe() -> None:
    elsewhere = {**TREE, "data": {"path": "data/nosuch.jsonl"}}
    for wrong in ("method.kind=lorra", "train.micro_batch_size=3 train.global_batch_size=16"):
        with pytest.raises(RecipeError) as caught:
            plan_loaded(read_source(elsewhere, wrong), on="dual_rtx4090")
        keys = [problem.key for problem in caught.value.problems]
        assert len(keys) == 2
        assert keys.count("data.path") == 1
    # Alone it is no fault of the plan: the machine is judged all the same.
    assert plan_loaded(read_source(elsewhere), on="dual_rtx4090").verdict == "fits"
