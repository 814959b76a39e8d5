from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from planning import LLAMA_7B, LLAMA_8B, SMOLLM, laptop, machine, recipe_for, shape_of

from tunekit.hardware.spec import Hardware
from tunekit.notebook import plan
from tunekit.planner.answered import answered_values, answered_yaml
from tunekit.planner.make import make_plan
from tunekit.planner.plan import Plan
from tunekit.recipe.loading import load_text
from tunekit.recipe.schema import Recipe
from tunekit.recipe.shipped import shipped_names


def again(first: Plan) -> Plan:
    """The plan of what the first plan wrote down."""
    return make_plan(load_text(answered_yaml(first)), first.model_shape, first.hardware)


def hold(first: Plan) -> None:
    values = yaml.safe_load(answered_yaml(first))
    assert "auto" not in json.dumps(values)
    second = again(first)
    assert second.job == first.job
    assert second.decisions == ()


@pytest.mark.parametrize("name", shipped_names("recipes"))
def test_what_a_shipped_recipe_comes_to_leaves_nothing_open(name: str) -> None:
    hold(plan(name, on="dual_rtx4090" if name == "quickstart" else None))


@pytest.mark.parametrize(
    "zero",
    [
        {},
        {"stage": 1},
        {"stage": 2, "offload_optimizer": "cpu"},
        {"stage": 3, "offload_optimizer": "cpu", "offload_ratio": 0.4},
        {"stage": 3, "offload_param": "cpu", "bf16_states": True},
        {"preset": "z3_offload_ratio"},
        {"preset": "z3_offload_nvme", "nvme_path": "/nvme"},
        {"preset": "z0"},
        {"offload_optimizer": "cpu"},
        {"offload_param": "cpu"},
    ],
    ids=str,
)
@pytest.mark.parametrize("hardware", [machine(), machine("single_rtx4090"), laptop()], ids=lambda each: each.name)
@pytest.mark.parametrize("kind", ["full", "lora"])
def test_every_way_to_say_zero_is_written_out(zero: dict[str, Any], hardware: Hardware, kind: str) -> None:
    recipe = recipe_for(LLAMA_7B, kind, **{f"zero__{key}": value for key, value in zero.items()})
    hold(make_plan(recipe, shape_of(LLAMA_7B), hardware))


def test_a_json_of_the_users_own_keeps_its_say(tmp_path: Path) -> None:
    mine = tmp_path / "mine.json"
    mine.write_text(json.dumps({"zero_optimization": {"stage": 2, "reduce_bucket_size": 12345678}}))
    first = make_plan(recipe_for(SMOLLM, zero__config=str(mine)), shape_of(SMOLLM), machine())
    assert answered_values(first)["zero"]["config"] == str(mine)
    hold(first)


def test_text_has_no_answers_to_learn_only() -> None:
    first = make_plan(recipe_for(SMOLLM, data__format="text"), shape_of(SMOLLM), machine())
    assert answered_values(first)["data"]["completion_only_loss"] is False
    hold(first)


def test_what_only_the_rows_can_say_is_said_to_be_open() -> None:
    first = make_plan(recipe_for(LLAMA_8B), shape_of(LLAMA_8B), machine())
    assert "format" not in answered_values(first)["data"]
    assert "# data.format stands in events.jsonl" in answered_yaml(first)
    named = Recipe.model_validate(recipe_for(LLAMA_8B, data__format="alpaca").model_dump())
    assert "stands in events.jsonl" not in answered_yaml(make_plan(named, shape_of(LLAMA_8B), machine()))


def test_what_has_no_effect_is_left_out() -> None:
    zero = answered_values(make_plan(recipe_for(LLAMA_8B, zero__preset="z2"), shape_of(LLAMA_8B), machine()))["zero"]
    assert zero["preset"] == "z2"
    assert {"stage", "sub_group_size", "offload_ratio", "pin_memory"}.isdisjoint(zero)
