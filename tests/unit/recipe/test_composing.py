# ruff: noqa: E501 - messages stand here as they are printed
from __future__ import annotations

from decimal import Decimal
from pathlib import Path

import pytest

from tunekit.errors import RecipeError
from tunekit.recipe.composing import Composed, compose, compose_mapping, plain
from tunekit.recipe.overrides import parse_overrides


def composed(folder: Path, files: dict[str, str], *words: str) -> Composed:
    for name, text in files.items():
        (folder / name).write_text(text)
    overrides, _ = parse_overrides(words)
    return compose((folder / "r.yaml").read_text(), name="r.yaml", path=folder / "r.yaml", overrides=overrides)


def test_the_recipe_stands_over_its_bases_and_the_command_line_over_all(tmp_path: Path) -> None:
    files = {
        "low.yaml": "train: {seed: 1, max_steps: 1, logging_steps: 1}\ntracking: [wandb, tensorboard]\n",
        "mid.yaml": "train: {seed: 2, max_steps: 2}\n",
        "r.yaml": "base: [low.yaml, mid.yaml]\ntrain: {seed: 3, num_epochs: 2}\ntracking: [wandb]\n",
    }
    result = composed(tmp_path, files, "train.seed=4")
    assert result.content["train"] == {"seed": 4, "max_steps": 2, "logging_steps": 1, "num_epochs": 2}
    assert result.content["tracking"] == ["wandb"]
    assert str(result.places[("train", "seed")]) == "command line"
    assert str(result.places[("train", "num_epochs")]) == "r.yaml:2"
    assert str(result.places[("train", "max_steps")]).endswith("mid.yaml:1")


def test_bases_have_bases_and_places_order_the_recipe_first(tmp_path: Path) -> None:
    files = {"a.yaml": "train: {seed: 1}\n", "b.yaml": "base: a.yaml\n", "r.yaml": "base: b.yaml\noutput: {dir: x}\n"}
    result = composed(tmp_path, files)
    assert "base" not in result.content
    assert result.places[("output", "dir")] < result.places[("train", "seed")]


def test_a_reference_sees_the_merged_values(tmp_path: Path) -> None:
    files = {"low.yaml": "output: {dir: 'runs/${method.kind}'}\n", "r.yaml": "base: low.yaml\nmethod: {kind: full}\n"}
    assert composed(tmp_path, files).content["output"]["dir"] == "runs/full"


def test_an_empty_section_is_one_without_keys(tmp_path: Path) -> None:
    files = {"low.yaml": "train: {seed: 1}\n", "r.yaml": "base: low.yaml\ntrain:\noutput:\n"}
    result = composed(tmp_path, files)
    assert result.content == {"train": {"seed": 1}, "output": {}}


def test_null_above_takes_a_key_away_whatever_it_holds(tmp_path: Path) -> None:
    files = {
        "low.yaml": (
            "tracking: [wandb]\ndata: {path: x, columns: {prompt: q, completion: a}}\n"
            "train: {max_seq_length: 512, seed: 3, epochs: 2}\nwatch: {gpu_temperature: 70}\n"
        ),
        "r.yaml": "base: low.yaml\ntrain: {max_seq_length: null}\n",
    }
    words = ("data.columns=", "tracking=null", "watch.gpu_temperature=null", "train.seed=", "train.epochs=null")
    result = composed(tmp_path, files, *words)
    assert result.content == {"data": {"path": "x"}, "train": {"epochs": None}, "watch": {}}
    assert composed(tmp_path, files, "data.columns.prompt=null").content["data"]["columns"] == {"completion": "a"}
    assert composed(tmp_path, files, "train=null").content["train"] == {"seed": 3, "epochs": 2}


def test_null_in_the_only_file_is_left_to_be_told(tmp_path: Path) -> None:
    assert composed(tmp_path, {"r.yaml": "train: {seed: }\n"}).content == {"train": {"seed": None}}


def test_a_choice_over_a_base_sets_aside_what_it_replaces(tmp_path: Path) -> None:
    files = {
        "low.yaml": "method: {kind: qlora, rank: 8}\nzero: {preset: z2}\n",
        "r.yaml": "base: low.yaml\nzero: {stage: 3}\n",
    }
    result = composed(tmp_path, files, "method.kind=full")
    assert result.content == {"method": {"kind": "full"}, "zero": {"stage": 3}}


@pytest.mark.parametrize(
    ("files", "message"),
    [
        (
            {"r.yaml": "base: 3\n"},
            "r.yaml:1: base: found 3; a file beside this one, the name of a shipped recipe, or a list of these",
        ),
        (
            {"r.yaml": "base: [a, 4]\n"},
            "r.yaml:1: base: found ['a', 4]; a file beside this one, the name of a shipped recipe, or a list of these",
        ),
        ({"r.yaml": "x: 1\nbase: r.yaml\n"}, "r.yaml:2: base: goes in a circle: r.yaml -> r.yaml; remove one of them"),
        (
            {"r.yaml": "base: a.yaml\n", "a.yaml": "base: r.yaml\n"},
            "{folder}/a.yaml:1: base: goes in a circle: r.yaml -> a.yaml -> r.yaml; remove one of them",
        ),
        (
            {"r.yaml": "base: a.yaml\n", "a.yaml": "a: [\n"},
            "{folder}/a.yaml:2: this is not YAML: expected the node content, but found '<stream end>'; check brackets, quotes and indentation here and in the line above",
        ),
    ],
)
def test_a_base_that_cannot_be_used_says_where_it_is_asked_for(
    tmp_path: Path, files: dict[str, str], message: str
) -> None:
    with pytest.raises(RecipeError) as caught:
        composed(tmp_path, files)
    assert str(caught.value).splitlines()[0] == message.format(folder=tmp_path)


def test_two_recipes_may_share_a_base(tmp_path: Path) -> None:
    files = {
        "a.yaml": "train: {seed: 5}\n",
        "b.yaml": "base: a.yaml\n",
        "c.yaml": "base: a.yaml\n",
        "r.yaml": "base: [b.yaml, c.yaml]\n",
    }
    assert composed(tmp_path, files).content == {"train": {"seed": 5}}


def test_problems_of_every_layer_are_kept_with_their_place(tmp_path: Path) -> None:
    files = {"low.yaml": "a: 1\na: 2\nb: ${nope}\n", "r.yaml": "base: low.yaml\nc: 1\nc: 2\n"}
    result = composed(tmp_path, files)
    assert [problem.where.rpartition("/")[2] for problem in result.problems] == ["r.yaml:3", "low.yaml:2", "low.yaml:3"]
    assert result.faulty == {("b",)}


def test_a_mapping_is_composed_like_a_file() -> None:
    overrides, _ = parse_overrides(["output.dir=runs/x"])
    result = compose_mapping(
        {"model": {"path": Path("a/b")}, "tracking": ("wandb",)}, name="the mapping", overrides=overrides
    )
    assert result.content == {"model": {"path": "a/b"}, "tracking": ["wandb"], "output": {"dir": "runs/x"}}
    assert result.start == "the mapping"


def test_plain_values_are_what_yaml_would_hold() -> None:
    assert plain({1: (Path("x"), {"a": 2})}) == {"1": ["x", {"a": 2}]}


def test_a_mapping_may_stand_on_a_base_too() -> None:
    composed = compose_mapping({"base": "quickstart", "train": {"seed": 7}}, name="the mapping", overrides=())
    assert composed.content["train"]["seed"] == 7
    assert composed.content["method"]["kind"] == "lora"
    assert composed.problems == ()


def test_values_of_other_libraries_become_text() -> None:
    assert plain({"seed": Decimal(7), "dir": Path("a/b"), 1: (True, None)}) == {
        "seed": "7",
        "dir": "a/b",
        "1": [True, None],
    }
