from __future__ import annotations

import pytest
from pydantic import ValidationError

from tunekit.recipe.schema import MethodSection, Recipe, TrainSection, WatchSection, ZeroSection


def test_the_least_recipe_names_model_data_and_output() -> None:
    recipe = Recipe.model_validate({"model": {"path": "a"}, "data": {"path": "b"}, "output": {"dir": "c"}})
    assert recipe.method.kind == "lora"
    assert recipe.tracking == ("tensorboard",)
    assert recipe.hardware == "local"


def test_auto_is_none_inside_and_auto_in_json() -> None:
    method = MethodSection.model_validate({"rank": "auto", "alpha": 8})
    assert (method.rank, method.alpha) == (None, 8)
    assert method.model_dump(mode="json")["rank"] == "auto"
    assert ZeroSection.model_validate({"stage": "auto"}).stage is None


@pytest.mark.parametrize("written", ["off", False])
def test_off_is_none_inside_and_off_in_json(written: object) -> None:
    watch = WatchSection.model_validate({"ram_free_gib": written})
    assert watch.ram_free_gib is None
    assert watch.model_dump(mode="json")["ram_free_gib"] == "off"
    assert watch.model_dump(mode="json")["disk_free_gib"] == 1.0


@pytest.mark.parametrize("written", [None, "on", 0])
def test_off_is_said_by_no_other_word(written: object) -> None:
    with pytest.raises(ValidationError):
        WatchSection.model_validate({"ram_free_gib": written})


@pytest.mark.parametrize("value", [float("nan"), float("inf"), 0, -1, 2])
def test_a_learning_rate_is_a_number_from_above_zero_to_one(value: float) -> None:
    with pytest.raises(ValidationError):
        TrainSection(learning_rate=value)


def test_values_are_frozen_and_closed() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        TrainSection().seed = 3  # type: ignore[misc]
    with pytest.raises(ValidationError, match="Extra inputs"):
        TrainSection.model_validate({"sed": 3})
