from __future__ import annotations

from pathlib import Path

import pytest

from tunekit.recipe import shipped
from tunekit.recipe.listing import header, listed_recipes, read_listed, shipped_text
from tunekit.recipe.loading import load_recipe
from tunekit.recipe.shipped import shipped_names

EXPECTED = {
    "quickstart",
    *(
        f"{model}_{method}"
        for model in ("smollm2_135m", "llama2_7b", "llama31_8b")
        for method in ("full", "lora", "qlora")
    ),
    *("mistral7b_lora", "qwen25_7b_lora", "qwen3_8b_qlora", "codellama7b_lora", "codellama13b_qlora"),
    *("codellama34b_qlora", "codellama34b_lora", "codellama34b_full", "qwen25_14b_lora", "qwen25_32b_qlora"),
    *("qwen25_72b_qlora", "llama2_70b_qlora", "mixtral8x7b_qlora"),
}


def test_at_least_the_promised_recipes_are_shipped() -> None:
    assert len(EXPECTED) == 23
    assert set(shipped_names("recipes")) >= EXPECTED


@pytest.mark.parametrize("name", shipped_names("recipes"))
def test_a_listed_recipe_says_what_the_loaded_one_is(name: str) -> None:
    listed, recipe = read_listed(name), load_recipe(name).recipe
    assert (listed.model, listed.method, listed.zero, listed.hardware) == (
        recipe.model.path,
        recipe.method.kind,
        recipe.zero.preset or f"z{recipe.zero.stage}",
        recipe.hardware,
    )
    assert recipe.output.dir == f"runs/{name}"
    assert listed.purpose.endswith(".")
    assert listed.needs.startswith("Needs ")


@pytest.mark.parametrize("name", shipped_names("recipes"))
def test_a_header_has_exactly_two_lines_of_a_readable_width(name: str) -> None:
    lines = shipped_text(name).splitlines()
    assert [line.startswith("# ") for line in lines[:3]] == [True, True, False]
    assert max(map(len, lines)) <= 120


def test_the_list_is_sorted_and_plain() -> None:
    listed = listed_recipes()
    assert [entry.name for entry in listed] == sorted(shipped_names("recipes"))
    assert set(listed[0].as_dict()) == {"name", "model", "method", "zero", "hardware", "verdict", "purpose", "needs"}


def test_a_name_that_is_not_shipped_is_a_key_error() -> None:
    with pytest.raises(KeyError):
        shipped_text("nope")


def test_a_header_that_is_not_there_or_says_no_verdict_is_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(ValueError, match="two comment lines"):
        header("# one\nmodel:\n")
    (tmp_path / "recipes").mkdir()
    (tmp_path / "recipes" / "x.yaml").write_text("# For.\n# Needs much.\nmodel: {path: a}\n")
    monkeypatch.setattr(shipped, "_PACKAGE", tmp_path / "tunekit")
    with pytest.raises(ValueError, match="does not end with `Verdict on HARDWARE: fits.`"):
        read_listed("x")
