from __future__ import annotations

from pathlib import Path

import pytest
from planning import LLAMA_8B, SMOLLM, machine, recipe_for, shape_of
from searching import open_recipe, searched

from tunekit.errors import UsageError
from tunekit.planner.fit import find_plans
from tunekit.planner.fit_recipe import check_goal, recipe_text, tokens_asked
from tunekit.planner.fit_recipe import open_recipe as opened
from tunekit.planner.make import make_plan
from tunekit.recipe.loading import load_recipe, load_text


def test_an_open_recipe_names_only_model_data_and_folder() -> None:
    loaded = load_recipe(opened("owner/Some-Model_1.5B", data="x.jsonl", method="qlora"))
    assert loaded.recipe.output.dir == "runs/some_model_1_5b_fit"
    assert (loaded.recipe.data.path, loaded.recipe.method.kind) == ("x.jsonl", "qlora")
    assert "kind" not in load_recipe(opened("owner/m")).recipe.method.model_fields_set


def test_unknown_methods_and_goals_are_refused_with_those_there_are() -> None:
    with pytest.raises(UsageError, match="--method dora: there is no such method; allowed: full, lora"):
        opened("m", method="dora")
    with pytest.raises(UsageError, match="--goal beauty: there is no such goal; allowed: speed, memory"):
        check_goal("beauty")
    check_goal("cost")


def test_tokens_are_told_or_counted_from_the_data(tmp_path: Path) -> None:
    file = tmp_path / "rows.jsonl"
    file.write_text("x" * 4000)
    recipe = recipe_for(SMOLLM, train__num_epochs=2.5)
    assert tokens_asked(recipe, tokens=5000, data=None) == (5000, "--tokens")
    count, said = tokens_asked(recipe, tokens=None, data=str(file))
    assert count == 2500
    assert said == f"{file} at 4 bytes a token, 2.5 times"
    assert tokens_asked(recipe, tokens=None, data=None) == (None, "")


def test_both_or_less_than_one_are_refused() -> None:
    recipe = recipe_for(SMOLLM)
    with pytest.raises(UsageError, match="type one of them"):
        tokens_asked(recipe, tokens=1, data="x")
    with pytest.raises(UsageError, match="must be 1 or more"):
        tokens_asked(recipe, tokens=0, data=None)


@pytest.mark.parametrize("kind", ["full", "lora", "qlora"])
def test_the_written_recipe_plans_to_the_same_numbers_and_leaves_nothing_searched_open(kind: str) -> None:
    found = searched(LLAMA_8B, kind)
    best, plan = found.recommended, found.plan
    assert best is not None
    assert plan is not None
    recipe = load_text(recipe_text(found))
    again = make_plan(recipe, shape_of(LLAMA_8B), machine())
    assert again.job == plan.job
    assert again.memory == plan.memory
    assert again.speed == plan.speed
    decided = {decision.key for decision in again.decisions}
    assert decided.isdisjoint(key for key, _ in best.settings)


def test_its_first_lines_say_what_was_promised() -> None:
    found = searched(LLAMA_8B, "lora")
    first, second = recipe_text(found).splitlines()[:2]
    assert first == f"# {LLAMA_8B}: what `tunekit fit` recommends on dual_rtx4090 for speed."
    rate = found.recommended and found.recommended.speed.tokens_per_second.expected
    assert f"{rate:,.0f} tokens/s" in second


def test_tokens_become_steps() -> None:
    found = find_plans(open_recipe(LLAMA_8B, "lora"), shape_of(LLAMA_8B), machine(), tokens=1_000_000)
    assert found.recommended is not None
    assert load_text(recipe_text(found)).train.max_steps == found.recommended.run.steps
