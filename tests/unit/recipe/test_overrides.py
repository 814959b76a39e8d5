# ruff: noqa: E501 - messages stand here as they are printed
from __future__ import annotations

import pytest

from tunekit.recipe.overrides import parse_overrides, retyped


@pytest.mark.parametrize(
    ("word", "path", "value"),
    [
        ("train.max_steps=10", ("train", "max_steps"), 10),
        ("train.learning_rate=1e-4", ("train", "learning_rate"), 1e-4),
        ("method.target_modules=[q_proj, v_proj]", ("method", "target_modules"), ["q_proj", "v_proj"]),
        ("data.columns={prompt: question}", ("data", "columns"), {"prompt": "question"}),
        ("output.save_steps=", ("output", "save_steps"), None),
        ("output.save_steps=null", ("output", "save_steps"), None),
        ("model.revision=1.10", ("model", "revision"), "1.10"),
        ("model.revision=no", ("model", "revision"), "no"),
        ("model.revision='no'", ("model", "revision"), "no"),
        ("data.path=a: b", ("data", "path"), "a: b"),
        ("data.path=- #x", ("data", "path"), "- #x"),
        ("data.path=[x].json", ("data", "path"), "[x].json"),
        ("output.dir=runs/a=b", ("output", "dir"), "runs/a=b"),
        ("hardware=local", ("hardware",), "local"),
        ("data.columns.prompt=question", ("data", "columns", "prompt"), "question"),
    ],
)
def test_a_word_is_a_key_and_a_value(word: str, path: tuple[str, ...], value: object) -> None:
    (override,), problems = parse_overrides([word])
    assert problems == ()
    assert (override.path, override.value) == (path, value)


@pytest.mark.parametrize(
    ("word", "message"),
    [
        ("foo", "command line: found `foo`: there is no `=`; key=value; e.g. train.max_steps=10"),
        ("train.seed", "command line: found `train.seed`: there is no `=`; key=value; e.g. train.seed=VALUE"),
        ("=3", "command line: found `=3`: the key has an empty part or a space; key=value; e.g. train.max_steps=10"),
        (
            "train..seed=3",
            "command line: found `train..seed=3`: the key has an empty part or a space; key=value; e.g. train.max_steps=10",
        ),
        (
            "train.seed =3",
            "command line: found `train.seed =3`: the key has an empty part or a space; key=value; e.g. train.max_steps=10",
        ),
        (
            "--train.seed=3",
            "command line: found `--train.seed=3`: keys carry no sign in front; key=value; e.g. train.seed=3",
        ),
        (
            "+train.seed=3",
            "command line: found `+train.seed=3`: keys carry no sign in front; key=value; e.g. train.seed=3",
        ),
        (
            "tracking=[wandb",
            "command line: found `tracking=[wandb`: the value is not YAML; key=value; e.g. tracking='[a, b]' with the brackets and quotes closed",
        ),
        (
            "method.target_modules=[q_proj",
            "command line: found `method.target_modules=[q_proj`: the value is not YAML; key=value; e.g. method.target_modules='[a, b]' with the brackets and quotes closed",
        ),
        ("base=x", "command line: base: found on the command line; allowed: base: in the file only"),
    ],
)
def test_a_malformed_word_says_what_to_type(word: str, message: str) -> None:
    overrides, (problem,) = parse_overrides([word])
    assert overrides == ()
    assert str(problem) == message


def test_a_key_given_twice_with_two_values_is_no_puzzle() -> None:
    _, (problem,) = parse_overrides(["train.seed=1", "train.seed=2"])
    assert str(problem) == "command line: train.seed: given twice: 1 and 2; keep one of the two"
    overrides, problems = parse_overrides(["train.seed=1", "train.seed=1"])
    assert (len(overrides), problems) == (1, ())


def test_every_word_is_read_though_one_is_wrong() -> None:
    overrides, problems = parse_overrides(["foo", "train.seed=1", "bar"])
    assert [override.key for override in overrides] == ["train.seed"]
    assert len(problems) == 2


def test_what_is_not_equal_to_itself_may_be_typed_twice() -> None:
    overrides, problems = parse_overrides(["train.seed=.nan", "train.seed=.nan"])
    assert (len(overrides), problems) == (1, ())


@pytest.mark.parametrize(
    "word",
    [
        "train.x=" + "[" * 99,
        "a=[&a [" + "1," * 99 + "], " + "*a," * 999 + "]",
        "a=" + " " * 10_000,
        "x" + ".x" * 99 + "=1",
    ],
)
def test_a_word_that_is_too_deep_or_too_much_is_refused(word: str) -> None:
    overrides, (problem,) = parse_overrides([word])
    assert overrides == ()
    assert problem.allowed == "key=value"


def test_more_words_stand_in_the_place_of_those_with_the_same_keys() -> None:
    assert retyped(("a.b=1", "c=2"), ["a.b=3", "d=4"]) == ("c=2", "a.b=3", "d=4")
