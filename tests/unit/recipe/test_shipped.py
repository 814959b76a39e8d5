from __future__ import annotations

from pathlib import Path

import pytest

from tunekit.recipe import shipped
from tunekit.recipe.shipped import existing_path, shipped_names, shipped_path


@pytest.mark.parametrize(
    "relative", ["recipes/quickstart.yaml", "ds_configs/z2.json", "examples/data/finetuning_qa.jsonl"]
)
def test_a_checkout_finds_what_is_shipped(repository: Path, relative: str) -> None:
    assert shipped_path(relative) == repository / relative


@pytest.mark.parametrize(
    "relative", ["recipes/no_such.yaml", "tests/conftest.py", "recipes/../pyproject.toml", "/etc/hosts"]
)
def test_nothing_else_is_found(relative: str) -> None:
    assert shipped_path(relative) is None


def test_the_wheel_carries_its_own_copy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = tmp_path / "site-packages" / "tunekit"
    recipe = package / "shipped" / "recipes" / "x.yaml"
    recipe.parent.mkdir(parents=True)
    recipe.write_text("a: 1\n")
    foreign = tmp_path / "site-packages" / "recipes"
    foreign.mkdir()
    (foreign / "y.yaml").write_text("a: 1\n")
    monkeypatch.setattr(shipped, "_PACKAGE", package)
    assert shipped_path("recipes/x.yaml") == recipe
    assert shipped_path("recipes/y.yaml") is None
    assert shipped_names("recipes") == ("x",)


def test_names_are_stems_of_every_file(repository: Path) -> None:
    assert shipped_names("recipes") == tuple(sorted(file.stem for file in repository.glob("recipes/*.yaml")))
    assert "z3_qlora" in shipped_names("ds_configs")


def test_what_lies_here_comes_before_what_is_shipped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    there = existing_path("recipes/quickstart.yaml")
    assert there is not None
    assert there.is_absolute()
    mine = tmp_path / "recipes" / "quickstart.yaml"
    mine.parent.mkdir()
    mine.write_text("a: 1\n")
    assert existing_path("recipes/quickstart.yaml") == Path("recipes/quickstart.yaml")


def test_a_path_that_is_nowhere_or_impossible_is_none() -> None:
    assert existing_path("no/such/file") is None
    assert existing_path("x" * 5000) is None
