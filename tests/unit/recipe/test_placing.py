from __future__ import annotations

from pathlib import Path

import pytest

from tunekit.errors import Problem
from tunekit.recipe.loading import LoadedRecipe, load_recipe
from tunekit.recipe.placing import placed, shown_name

TEXT = """\
model:
  path: owner/name
data: {path: rows.jsonl}
output: {dir: runs/x}
train:
  max_seq_length: 512
  global_batch_size: 15
"""


def loaded(tmp_path: Path, *overrides: str) -> LoadedRecipe:
    file = tmp_path / "mine.yaml"
    file.write_text(TEXT)
    return load_recipe(file, overrides)


def wheres(recipe: LoadedRecipe, *keys: str) -> list[str]:
    return [problem.where for problem in placed([Problem(key=key, found="x") for key in keys], recipe)]


def test_a_key_of_the_file_has_its_line(tmp_path: Path) -> None:
    assert wheres(loaded(tmp_path), "train.global_batch_size") == [f"{tmp_path}/mine.yaml:7"]


def test_an_unwritten_key_has_the_line_of_its_section_or_the_file(tmp_path: Path) -> None:
    assert wheres(loaded(tmp_path), "train.optimizer", "zero.stage") == [
        f"{tmp_path}/mine.yaml:5",
        f"{tmp_path}/mine.yaml:1",
    ]


def test_a_file_below_the_current_folder_has_a_short_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    recipe = loaded(tmp_path)
    monkeypatch.chdir(tmp_path)
    assert shown_name(recipe) == "mine.yaml"
    assert wheres(recipe, "train.global_batch_size") == ["mine.yaml:7"]


def test_a_typed_key_stands_on_the_command_line(tmp_path: Path) -> None:
    assert wheres(loaded(tmp_path, "train.global_batch_size=14"), "train.global_batch_size") == ["command line"]


def test_a_place_that_is_known_is_kept(tmp_path: Path) -> None:
    (problem,) = placed([Problem(key="a", found="x", where="mine.json:3")], loaded(tmp_path))
    assert problem.where == "mine.json:3"


def test_a_mapping_has_no_file() -> None:
    tree = {"model": {"path": "owner/name"}, "data": {"path": "x"}, "output": {"dir": "y"}}
    assert wheres(load_recipe(tree), "zero.stage") == ["the mapping"]
