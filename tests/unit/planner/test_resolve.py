from __future__ import annotations

import json
from pathlib import Path

import pytest
from planning import CODELLAMA_34B, LLAMA_8B, SMOLLM, laptop, machine, recipe_for, resolved, shape_of

from tunekit.errors import RecipeError
from tunekit.planner.reasons import decisions_of
from tunekit.planner.resolve import resolve
from tunekit.recipe.schema import Recipe


def test_all_faults_are_raised_together_in_the_order_of_the_recipe() -> None:
    recipe = recipe_for(
        LLAMA_8B,
        "qlora",
        method__target_modules=("wq_proj",),
        zero__preset="z3_offload",
        train__global_batch_size=15,
        train__optimizer="adamw_8bit",
        model__attention="flash_attention_2",
        train__precision="fp32",
    )
    with pytest.raises(RecipeError) as raised:
        resolved(recipe)
    assert [problem.key for problem in raised.value.problems] == [
        "model.attention",
        "method.target_modules",
        "zero.offload_param",
        "train.global_batch_size",
        "train.optimizer",
    ]


def test_what_the_adapter_cannot_have_is_raised_with_the_rest() -> None:
    recipe = recipe_for(LLAMA_8B, "lora", method__modules_to_save=("lm_headd",), train__global_batch_size=3)
    with pytest.raises(RecipeError) as raised:
        resolved(recipe)
    assert [problem.key for problem in raised.value.problems] == ["method.modules_to_save", "train.global_batch_size"]


def test_a_job_that_does_not_fit_is_returned_all_the_same() -> None:
    job = resolve(recipe_for(CODELLAMA_34B, "full"), shape_of(CODELLAMA_34B), machine()).trial.job
    assert job.method == "full"


def test_without_cards_or_on_demand_the_ladder_decides() -> None:
    assert resolved(recipe_for(SMOLLM), laptop()).exact is None
    plain = resolve(recipe_for(LLAMA_8B, "lora"), shape_of(LLAMA_8B), machine(), exact=False)
    assert plain.exact is None
    assert plain.trial is plain.outcome.taken


def test_what_the_users_own_json_states_is_taken_and_not_decided(tmp_path: Path) -> None:
    file = tmp_path / "mine.json"
    stated = {"zero_optimization": {"stage": 2, "reduce_bucket_size": 7_000_000}, "train_micro_batch_size_per_gpu": 2}
    file.write_text(json.dumps(stated))
    found = resolved(recipe_for(SMOLLM, zero__config=str(file)))
    job = found.trial.job
    assert (job.zero.stage, job.zero.reduce_bucket_size, job.batch.micro_batch_size) == (2, 7_000_000, 2)
    assert job.zero.preset == str(file)
    keys = {decision.key for decision in decisions_of(found)}
    assert not keys & {"zero.preset", "zero.reduce_bucket_size", "train.micro_batch_size"}
    assert isinstance(found.asked, Recipe)
    assert found.asked.train.micro_batch_size is None
    assert found.settled.recipe.train.micro_batch_size == 2


def test_a_fault_of_the_users_own_json_is_said_to_stand_there(tmp_path: Path) -> None:
    file = tmp_path / "mine.json"
    file.write_text(json.dumps({"zero_optimization": {"stage": 2}, "train_batch_size": 7}))
    with pytest.raises(RecipeError) as raised:
        resolved(recipe_for(SMOLLM, zero__config=str(file), train__precision="fp16"), laptop())
    stated, written = raised.value.problems
    assert (stated.key, stated.where) == ("train.global_batch_size", str(file))
    assert (written.key, written.where) == ("train.precision", "")
