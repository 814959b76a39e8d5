from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from jsonschema import Draft202012Validator

from tunekit.recipe.json_schema import json_schema
from tunekit.recipe.keys import all_keys
from tunekit.recipe.shipped import shipped_names, shipped_path
from tunekit.recipe.source_map import read_yaml

SMALL: dict[str, Any] = {"model": {"path": "a"}, "data": {"path": "b"}, "output": {"dir": "c"}}


def faults(content: dict[str, Any]) -> list[str]:
    return [error.message for error in Draft202012Validator(json_schema()).iter_errors(content)]


def described(schema: dict[str, Any]) -> Iterator[str]:
    for name, inner in schema["properties"].items():
        if "properties" in inner:
            yield from (f"{name}.{key}" for key, field in inner["properties"].items() if field["description"])
        elif inner["description"]:
            yield name


def test_the_schema_is_a_schema_and_describes_every_key() -> None:
    schema = json_schema()
    Draft202012Validator.check_schema(schema)
    assert set(described(schema)) == {"base", *all_keys()}
    sections = [inner for inner in schema["properties"].values() if "properties" in inner]
    assert all(inner["additionalProperties"] is False for inner in (schema, *sections))


def test_defaults_are_written_auto_where_the_planner_answers() -> None:
    properties = json_schema()["properties"]
    assert properties["method"]["properties"]["rank"]["default"] == "auto"
    assert properties["train"]["properties"]["seed"]["default"] == 42
    assert properties["train"]["properties"]["max_steps"]["default"] is None
    assert "default" not in properties["model"]["properties"]["path"]
    assert properties["tracking"]["default"] == ["tensorboard"]


@pytest.mark.parametrize("name", shipped_names("recipes"))
def test_every_shipped_recipe_is_valid_with_any_yaml_reader(name: str) -> None:
    path = shipped_path(f"recipes/{name}.yaml")
    assert path is not None
    assert faults(yaml.safe_load(path.read_text())) == []


@pytest.mark.parametrize(
    "change",
    [
        {"method": {"rank": "auto", "target_modules": ["q_proj"]}},
        {"method": {"rank": None, "target_modules": "all-linear"}},
        {"train": {"max_steps": None, "seed": "${train.max_steps}"}},
        {"data": {"path": "b", "columns": {"prompt": "q"}}},
        {"zero": None},
        {"watch": {"ram_free_gib": "off", "disk_free_gib": False, "silent_seconds": 5}},
    ],
)
def test_what_loads_is_valid(change: dict[str, Any]) -> None:
    assert faults({**SMALL, **change}) == []


@pytest.mark.parametrize(
    "change",
    [
        {"method": {"rank": 0}},
        {"method": {"rank": 2.5}},
        {"method": {"kind": "auto"}},
        {"method": {"dropout": 1.0}},
        {"zero": {"stage": 4}},
        {"train": {"max_steps": "auto"}},
        {"train": {"sed": 1}},
        {"tracking": ["mlflow"]},
        {"watch": {"ram_free_gib": None}},
        {"watch": {"diverging_steps": "off"}},
        {"hardwear": "local"},
        {"model": {"path": ""}},
        {"model": {}},
        {"model": None},
    ],
)
def test_what_does_not_load_is_not_valid(change: dict[str, Any]) -> None:
    assert faults({**SMALL, **change}) != []


def test_required_keys_may_come_from_a_base() -> None:
    assert faults({}) != []
    assert faults({"base": "quickstart", "model": {"revision": "main"}}) == []
    assert faults({"base": ["a", "b"]}) == []
    assert faults({"base": 3}) != []


def test_the_golden_faults_are_not_valid_either(repository: Path) -> None:
    text = (repository / "tests/golden/errors/thirty_faults.yaml").read_text()
    assert len(faults(read_yaml(text, file="x").content)) >= 15
