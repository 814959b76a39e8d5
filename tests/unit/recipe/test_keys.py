from __future__ import annotations

import pytest

from tunekit.recipe.keys import Bounds, all_keys, in_yaml, is_key, join_words, names_in, nearest_name, sections, spelled
from tunekit.recipe.schema import Recipe


def test_every_field_of_the_schema_is_a_key_with_a_description() -> None:
    expected = {f"{name}.{key}" for name, section in sections().items() for key in section.model_fields}
    expected |= {name for name in Recipe.model_fields if name not in sections()}
    assert set(all_keys()) == expected
    assert len(expected) == 84
    assert all(key.description.endswith(".") for key in all_keys().values())


@pytest.mark.parametrize(
    ("key", "allowed"),
    [
        ("method.rank", "a whole number, 1 to 1024, or auto"),
        ("method.dropout", "a number, 0 to below 1"),
        ("zero.offload_ratio", "a number, above 0 to 1, or auto"),
        ("zero.stage", "0, 1, 2 or 3, or auto"),
        ("train.num_epochs", "a number, above 0"),
        ("train.seed", "a whole number, 0 to 4294967295"),
        ("model.path", "text"),
        ("method.target_modules", "text or a list of texts"),
        ("data.columns", "a mapping of text to text"),
        ("data.streaming", "true or false"),
        ("tracking", "a list of tensorboard or wandb"),
        ("watch.ram_free_gib", "a number, above 0, or off"),
    ],
)
def test_what_is_allowed_is_said_in_words(key: str, allowed: str) -> None:
    assert all_keys()[key].allowed == allowed


def test_required_optional_and_auto_are_told_apart() -> None:
    keys = all_keys()
    assert [key.path for key in keys.values() if key.required] == ["model.path", "data.path", "output.dir"]
    assert keys["train.max_steps"].nullable
    assert not keys["train.max_steps"].auto
    assert keys["method.rank"].auto
    assert not keys["method.rank"].nullable


def test_what_can_be_turned_off_says_so_and_has_a_default() -> None:
    key = all_keys()["watch.ram_free_gib"]
    assert (key.off, key.auto, key.nullable) == (True, False, False)
    assert key.standard == "0.5"
    assert not all_keys()["watch.diverging_steps"].off


@pytest.mark.parametrize(
    ("bounds", "value", "nearest"),
    [
        (Bounds(least=1, most=9), 0, 1),
        (Bounds(least=1, most=9), 12, 9),
        (Bounds(above=0), 0, None),
        (Bounds(least=0, below=1), 1, None),
        (Bounds(), -5, None),
    ],
)
def test_the_nearest_number_is_one_that_is_allowed(bounds: Bounds, value: float, nearest: float | None) -> None:
    assert bounds.nearest(value) == nearest


def test_an_upper_limit_alone_is_said_too() -> None:
    assert Bounds(most=5).words == "up to 5"
    assert Bounds().words == ""


@pytest.mark.parametrize(("typed", "meant"), [("ranks", "rank"), ("ALPHA", "alpha"), ("zzz", None)])
def test_the_nearest_name_ignores_case(typed: str, meant: str | None) -> None:
    assert nearest_name(typed, ("rank", "alpha", "dropout")) == meant


def test_likeness_can_be_asked_for() -> None:
    assert nearest_name("paths.train", all_keys(), likeness=0.8) is None
    assert nearest_name("train.max_step", all_keys(), likeness=0.8) == "train.max_steps"


def test_words_paths_and_values_are_spelled_as_people_type_them() -> None:
    assert join_words(["a"]) == "a"
    assert join_words(["a", "b", "c"]) == "a, b or c"
    assert spelled(("output", "sample_prompts", "0")) == "output.sample_prompts[0]"
    assert [in_yaml(value) for value in (None, True, ("a", "b"), 1.5)] == ["null", "true", "[a, b]", "1.5"]


def test_samples_are_values_that_may_be_typed() -> None:
    assert all_keys()["method.rank"].sample == "auto"
    assert all_keys()["train.max_seq_length"].sample == "2048"
    assert all_keys()["output.dir"].sample == "runs/my_first_run"


def test_the_top_level_knows_base() -> None:
    assert names_in("")[0] == "base"
    assert names_in("model")[0] == "path"


@pytest.mark.parametrize(
    ("bounds", "inside", "outside"),
    [
        (Bounds(least=1, most=9), (1, 9), (0, 9.5)),
        (Bounds(above=0, below=1), (0.5,), (0, 1)),
        (Bounds(), (-5, 10**12), (10**12 + 1, 10**300)),
        (Bounds(most=2**63), (2**63,), (2**63 + 1,)),
    ],
)
def test_what_lies_within_bounds(bounds: Bounds, inside: tuple[float, ...], outside: tuple[float, ...]) -> None:
    assert all(bounds.allows(value) for value in inside)
    assert not any(bounds.allows(value) for value in outside)


def test_keys_and_parts_of_mappings_are_keys_and_sections_are_not() -> None:
    known = ("hardware", "train.seed", "data.columns.prompt", "train", "train.sed", "hardwear")
    assert [is_key(path) for path in known] == [True, True, True, False, False, False]
