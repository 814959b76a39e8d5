from __future__ import annotations

import json

import jsonschema
import pytest
from planning import CODELLAMA_34B, machine, recipe_for, shape_of

from tunekit.errors import UsageError
from tunekit.planner.make import make_plan
from tunekit.planner.plan import Plan
from tunekit.planner.plan_json import plan_from_json, plan_schema, plan_to_json


@pytest.fixture(scope="module")
def plan() -> Plan:
    return make_plan(recipe_for(CODELLAMA_34B, "full"), shape_of(CODELLAMA_34B), machine())


def test_a_plan_comes_back_equal(plan: Plan) -> None:
    assert plan_from_json(json.dumps(plan_to_json(plan))) == plan


def test_what_was_promised_is_there(plan: Plan) -> None:
    tree = plan_to_json(plan)
    assert tree["format_version"] == 1
    assert tree["verdict"] == "rejected"
    assert tree["model_shape"]["num_parameters"] == 33_743_970_304
    assert tree["model_shape"]["num_trainable_parameters"] == 33_743_970_304
    for place in ("device", "host", "disk"):
        wanted = {"low_bytes", "expected_bytes", "high_bytes", "usable_bytes", "worst_phase"}
        assert set(tree["memory"][place]) == wanted
    assert {"row", "cell_gb", "device_demand_bytes", "host_demand_bytes", "passes"} <= set(tree["table"])
    assert {"set", "saves_bytes", "note"} <= set(tree["fixes"][0])
    assert {"key", "value", "reason"} <= set(tree["decisions"][0])
    assert tree["memory"]["terms"][0]["formula"]


def test_the_batch_is_spelled_out(plan: Plan) -> None:
    batch = plan_to_json(plan)["batch"]
    product = batch["micro_batch_size"] * batch["gradient_accumulation_steps"] * batch["world_size"]
    assert batch["global_batch_size"] == product == 16
    assert batch["tokens_per_step"] == 16 * 2048


def test_open_keys_of_the_recipe_say_auto(plan: Plan) -> None:
    assert plan_to_json(plan)["recipe"]["train"]["micro_batch_size"] == "auto"


def test_it_is_the_json_its_schema_describes(plan: Plan) -> None:
    schema = plan_schema()
    jsonschema.Draft202012Validator.check_schema(schema)
    jsonschema.validate(plan_to_json(plan), schema)
    broken = plan_to_json(plan)
    del broken["memory"]["device"]["usable_bytes"]
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(broken, schema)


def test_what_is_no_plan_is_refused_with_its_place() -> None:
    with pytest.raises(UsageError, match="not a plan"):
        plan_from_json("{")
    with pytest.raises(UsageError, match="not a plan that tunekit wrote: verdict"):
        plan_from_json("{}")


def test_a_plan_of_another_format_is_refused(plan: Plan) -> None:
    tree = plan_to_json(plan)
    tree["format_version"] = 2
    with pytest.raises(UsageError, match="format 2, this tunekit reads format 1"):
        plan_from_json(json.dumps(tree))
