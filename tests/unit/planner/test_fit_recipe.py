from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from planning import LLAMA_8B, SMOLLM, machine, recipe_for, shape_of
from searching import open_recipe, searched

from tunekit.errors import UsageError
from tunekit.notebook import fit
from tunekit.planner.fit import find_plans
from tunekit.planner.fit_recipe import EXAMPLE_DATA, check_goal, recipe_text, refuse_two_answers, tokens_asked
from tunekit.planner.fit_recipe import open_recipe as opened
from tunekit.planner.make import make_plan
from tunekit.planner.samples import ASSUMED_TOKENS
from tunekit.recipe.data_check import PEEKED_ROWS
from tunekit.recipe.loading import load_recipe, load_text
from tunekit.render.fit_parts import given_up, recommended_lines
from tunekit.speed.terms import Band

WORDS = 128_256


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
    assert tokens_asked(recipe, WORDS, tokens=5000, data=None) == (5000, "--tokens")
    count, said = tokens_asked(recipe, WORDS, tokens=None, data=str(file))
    assert count == 2500
    assert said == f"{file} at 4 bytes a token, 2.5 times"
    assert tokens_asked(recipe, WORDS, tokens=None, data=None) == (None, "")


def test_rows_that_are_held_out_are_not_learned_from() -> None:
    data = "examples/data/finetuning_qa.jsonl"
    whole, half = (recipe_for(SMOLLM, data__path=data, data__eval_fraction=each) for each in (0.0, 0.5))
    count, _ = tokens_asked(whole, WORDS, tokens=None, data=data)
    assert count is not None
    assert tokens_asked(half, WORDS, tokens=None, data=data)[0] == pytest.approx(count / 2, abs=1)


def test_steps_that_are_stated_say_how_long_the_run_is() -> None:
    recipe = recipe_for(SMOLLM, train__max_steps=50)
    with pytest.raises(UsageError, match="--tokens and train.max_steps=50 both say how long"):
        tokens_asked(recipe, WORDS, tokens=1000, data=None)
    for data in (None, "examples/data/finetuning_qa.jsonl"):
        assert tokens_asked(recipe, WORDS, tokens=None, data=data) == (None, "train.max_steps=50")


def test_both_or_less_than_one_are_refused() -> None:
    recipe = recipe_for(SMOLLM)
    with pytest.raises(UsageError, match="type one of them"):
        tokens_asked(recipe, WORDS, tokens=1, data="x")
    with pytest.raises(UsageError, match="must be 1 or more"):
        tokens_asked(recipe, WORDS, tokens=0, data=None)


def test_a_recipe_of_the_example_data_says_to_replace_them() -> None:
    found = searched(LLAMA_8B, "lora")
    assert found.plan is not None
    assert "Nobody named data" not in recipe_text(found)
    data = found.plan.recipe.data.model_copy(update={"path": EXAMPLE_DATA})
    recipe = found.plan.recipe.model_copy(update={"data": data})
    text = recipe_text(replace(found, plan=replace(found.plan, recipe=recipe)))
    assert "# Nobody named data: data.path is tunekit's example. Replace it with your own.\n" in text
    assert load_text(text).data.path == EXAMPLE_DATA


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


def test_with_data_a_recipe_goes_through_it_and_states_no_steps() -> None:
    data = "examples/data/finetuning_qa.jsonl"
    recipe = open_recipe(LLAMA_8B, "lora", data__path=data, train__num_epochs=2)
    count, said = tokens_asked(recipe, WORDS, tokens=None, data=data)
    found = find_plans(recipe, shape_of(LLAMA_8B), machine(), tokens=count, tokens_said=said, by_epochs=True)
    train = load_text(recipe_text(found)).train
    assert (train.num_epochs, train.max_steps) == (2, None)
    assert "num_epochs: 2" in recipe_text(found)
    assert found.tokens == count
    assert 15_000 < count / 2 < 60_000


def test_stated_steps_stay_beside_data() -> None:
    recipe = open_recipe(LLAMA_8B, "lora", train__max_steps=7)
    found = find_plans(recipe, shape_of(LLAMA_8B), machine(), tokens=1000, by_epochs=True)
    assert load_text(recipe_text(found)).train.max_steps == 7
    assert "num_epochs" not in recipe_text(found)


@pytest.mark.parametrize("packing", [True, False])
def test_tokens_become_the_steps_that_hold_them(packing: bool) -> None:
    recipe = open_recipe(LLAMA_8B, "lora", data__packing=packing)
    found = find_plans(recipe, shape_of(LLAMA_8B), machine(), tokens=1_000_000)
    assert found.plan is not None
    batch = found.plan.job.batch
    each = batch.global_batch_size * (2048 if packing else ASSUMED_TOKENS)
    assert load_text(recipe_text(found)).train.max_steps == -(-1_000_000 // each)


def test_a_run_that_could_not_go_on_is_said_beside_what_is_given_up() -> None:
    found = searched(LLAMA_8B, "full")
    assert "`tunekit resume` needs" in found.no_resume
    assert found.no_resume in recipe_text(found)
    assert ("no resume", f"{found.no_resume}; the recipe saves no checkpoints") in given_up(found)
    assert found.recommended is not None
    assert dict(recommended_lines(found, found.recommended))["Quality"].endswith("; no resume")
    light = searched(LLAMA_8B, "lora")
    assert light.no_resume == ""
    assert all(label != "no resume" for label, _ in given_up(light))
    assert "resume" not in recipe_text(light)


def test_tokens_become_steps() -> None:
    found = find_plans(open_recipe(LLAMA_8B, "lora"), shape_of(LLAMA_8B), machine(), tokens=1_000_000)
    assert found.recommended is not None
    assert load_text(recipe_text(found)).train.max_steps == found.recommended.run.steps


def test_of_a_large_file_in_another_script_size_and_first_rows_tell(tmp_path: Path) -> None:
    file = tmp_path / "rows.jsonl"
    row = json.dumps({"text": "\u4f60" * 400}, ensure_ascii=False) + "\n"
    file.write_text(row * (PEEKED_ROWS + 10), encoding="utf-8")
    recipe = recipe_for(data__path=str(file))
    large, flat = tokens_asked(recipe, WORDS, tokens=None, data=str(file))
    small, said = tokens_asked(recipe, 32_000, tokens=None, data=str(file))
    assert large is not None
    assert small == 2 * large
    assert large == pytest.approx(300 * (PEEKED_ROWS + 10), rel=0.01)
    assert said.startswith(f"{file} at 4 bytes a token, 2 of what is not ASCII as the model's vocabulary is small, by")
    assert flat.startswith(f"{file} at 4 bytes a token, by the first 1,000 of about 1,0")


def test_a_recipe_of_a_long_run_says_its_hours_in_full() -> None:
    found = searched(LLAMA_8B, "lora")
    assert found.recommended is not None
    run = found.recommended.run
    long = replace(found.recommended, run=replace(run, hours=Band(low=1.0, expected=1530.0, high=2000.0)))
    assert "tokens take 1,530 h." in recipe_text(replace(found, recommended=long))


@pytest.mark.parametrize(
    ("typed", "said"),
    [
        ({"model": "other/model"}, "MODEL other/model and model.path="),
        ({"method": "full"}, "--method full and method.kind=lora contradict each other; type one of them"),
        ({"data": "mine.jsonl"}, "--data mine.jsonl and data.path="),
    ],
)
def test_a_flag_and_a_key_that_say_different_things_are_refused(typed: dict[str, str], said: str) -> None:
    recipe = recipe_for(SMOLLM, "lora")
    known: dict[str, Any] = {"model": recipe.model.path, "method": "lora", "data": recipe.data.path}
    refuse_two_answers(recipe, **known)
    refuse_two_answers(recipe, model=recipe.model.path, method=None, data=None)
    with pytest.raises(UsageError, match=re.escape(said)):
        refuse_two_answers(recipe, **{**known, **typed})


def test_a_json_of_the_users_own_stays_in_the_written_recipe(tmp_path: Path) -> None:
    file = tmp_path / "ds.json"
    file.write_text('{"zero_optimization": {"stage": 2}}')
    found = fit(LLAMA_8B, [f"zero.config={file}"], on="dual_rtx4090", method="lora", data=EXAMPLE_DATA)
    zero = load_text(recipe_text(found)).zero
    assert (zero.config, zero.stage) == (str(file), None), "the file says it"
    assert f"config: {file}" in recipe_text(found)
    assert "stage:" not in recipe_text(found)
