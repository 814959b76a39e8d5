from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tunekit.errors import RecipeError
from tunekit.recipe.loading import as_mapping, dump_yaml, load_recipe, load_text, resolved_yaml
from tunekit.recipe.shipped import shipped_names

SMALL = "model: {path: a/b}\ndata: {path: d.jsonl}\noutput: {dir: runs/x}\n"


def small(**sections: Any) -> dict[str, Any]:
    return {"model": {"path": "a/b"}, "data": {"path": "d.jsonl"}, "output": {"dir": "runs/x"}, **sections}


def test_a_file_keeps_its_text_its_path_and_its_overrides(tmp_path: Path) -> None:
    file = tmp_path / "r.yaml"
    file.write_text(SMALL)
    loaded = load_recipe(file, ["train.seed=7"])
    assert (loaded.text, loaded.path, loaded.overrides) == (SMALL, str(file), ("train.seed=7",))
    assert loaded.recipe.train.seed == 7
    assert load_recipe(str(file)).recipe.train.seed == 42


def test_a_mapping_gets_the_text_a_file_would_have() -> None:
    loaded = load_recipe(small(tracking=("wandb",)), ["train.seed=7"])
    assert loaded.path is None
    assert load_text(loaded.text, overrides=["train.seed=7"]) == loaded.recipe


@pytest.mark.parametrize("name", shipped_names("recipes"))
def test_every_shipped_recipe_loads_by_name(name: str) -> None:
    loaded = load_recipe(name)
    assert loaded.path is not None
    assert loaded.recipe.output.dir == f"runs/{name}"


def test_auto_and_nothing_are_answered_by_the_planner_and_numbers_are_numbers() -> None:
    text = SMALL + "method: {rank: auto, alpha: }\ntrain: {learning_rate: 1e-4, max_steps: }\n"
    recipe = load_text(text)
    assert recipe.method.rank is None
    assert recipe.method.alpha is None
    assert recipe.train.learning_rate == 1e-4
    assert recipe.train.max_steps is None


@pytest.mark.parametrize("word", ["off", "'off'", "false"])
def test_off_needs_no_quotes(word: str) -> None:
    recipe = load_text(SMALL + f"watch: {{ram_free_gib: {word}}}\n", overrides=[f"watch.disk_free_gib={word}"])
    assert recipe.watch.ram_free_gib is None
    assert recipe.watch.disk_free_gib is None
    assert recipe.watch.silent_seconds == 600
    assert load_text(resolved_yaml(recipe)) == recipe


def test_faults_of_the_file_and_of_the_command_line_come_together() -> None:
    with pytest.raises(RecipeError) as caught:
        load_text(SMALL + "train: {sed: 1}\n", name="r.yaml", overrides=["train.seed=x", "foo", "model.pth=1"])
    wheres = [problem.where for problem in caught.value.problems]
    assert wheres == ["r.yaml:4", "command line", "command line", "command line"]
    assert str(caught.value).endswith("4 problems in r.yaml; nothing was started.")


def test_a_malformed_word_alone_is_enough() -> None:
    with pytest.raises(RecipeError, match="1 problem in the command line"):
        load_text(SMALL, name="r.yaml", overrides=["foo"])


def test_a_mapping_has_no_lines() -> None:
    with pytest.raises(RecipeError) as caught:
        load_recipe({"model": {"path": 3.5}})
    assert [str(problem) for problem in caught.value.problems] == [
        'the mapping: model.path: found 3.5; allowed: text; quote it: "3.5"',
        "the mapping: data.path: missing; required: Hub id, folder, or a .json, .jsonl, .csv or .parquet file; "
        "write e.g. path: examples/data/finetuning_qa.jsonl",
        "the mapping: output.dir: missing; required: The run directory; write e.g. dir: runs/my_first_run",
    ]


@pytest.mark.parametrize("kind", ["full", "lora", "qlora"])
def test_the_resolved_recipe_loads_again(kind: str) -> None:
    prompts = ["a ${b}", "1e-4", "no", "x: y"]
    escaped = [prompt.replace("${", "\\${") for prompt in prompts]
    recipe = load_recipe(
        small(method={"kind": kind}, output={"dir": "${model.path}", "sample_prompts": escaped})
    ).recipe
    assert recipe.output.sample_prompts == tuple(prompts)
    text = resolved_yaml(recipe)
    assert load_text(text) == recipe
    assert ("rank: auto" in text) == (kind != "full")
    assert ("quantization: nf4" in text) == (kind == "qlora")


def test_a_method_chosen_on_the_command_line_needs_no_more_typing() -> None:
    full = load_recipe("codellama34b_qlora", ["method.kind=full"]).recipe
    assert (full.method.kind, full.method.rank) == ("full", None)
    assert load_recipe("codellama34b_qlora", ["zero.stage=3"]).recipe.zero.preset is None


def test_yaml_is_written_in_the_order_given() -> None:
    assert dump_yaml({"b": 1, "a": ["ä"]}) == "b: 1\na:\n- ä\n"


def test_a_recipe_in_hand_can_be_changed_and_loaded_again() -> None:
    recipe = load_recipe(small(output={"dir": "o", "sample_prompts": ["\\${x}"]}, method={"rank": 8})).recipe
    written = as_mapping(recipe, written_only=True)
    assert set(written) == {"model", "data", "output", "method"}
    again = load_recipe(written, ["method.kind=full"]).recipe
    assert again.output == recipe.output
    assert again.method.rank is None


def test_faults_of_the_command_line_are_not_laid_on_the_file() -> None:
    with pytest.raises(RecipeError) as caught:
        load_recipe("quickstart", ["train.max_step=3"])
    assert str(caught.value) == (
        "command line: train.max_step: there is no such key; did you mean max_steps?\n"
        "1 problem in the command line; nothing was started."
    )
