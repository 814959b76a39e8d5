# ruff: noqa: E501
"""Laws of recipes: what is dumped loads to the same recipe; no unknown key hides at any depth."""

from __future__ import annotations

from typing import Any

import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from tunekit.errors import Problem, RecipeError
from tunekit.recipe.json_schema import json_schema
from tunekit.recipe.keys import Key, all_keys, nearest_name, sections
from tunekit.recipe.loading import dump_yaml, load_recipe, load_text, resolved_yaml
from tunekit.recipe.precedence import applies
from tunekit.recipe.schema import Recipe
from tunekit.recipe.source_map import RecipeLoader

# `???` asks to be filled in and a lone surrogate is no text; everything else may be typed.
TEXT = st.text(st.characters(exclude_categories=("Cs", "Cc")), min_size=1, max_size=20).filter(
    lambda text: text != "???"
)


def loaded(text: str, *words: str) -> Recipe | tuple[Problem, ...]:
    """The recipe, or every problem that stands in its way."""
    try:
        return load_text(text, name="r.yaml", overrides=words)
    except RecipeError as error:
        return error.problems


def values(key: Key) -> st.SearchStrategy[Any]:
    """Values a key may have."""
    bounds = key.bounds
    least = 0 if bounds.least is None else bounds.least
    most = 10**6 if bounds.most is None else bounds.most
    low = bounds.least if bounds.above is None else bounds.above
    high = bounds.most if bounds.below is None else bounds.below
    kinds: dict[str, st.SearchStrategy[Any]] = {
        "text": TEXT,
        "flag": st.booleans(),
        "whole number": st.integers(int(least), int(most)),
        "number": st.floats(
            low,
            10**6 if high is None else high,
            exclude_min=bounds.above is not None,
            exclude_max=bounds.below is not None,
        ),
        "choice": st.sampled_from(key.choices or ("",)),
        "choices": st.lists(st.sampled_from(key.choices or ("",)), max_size=2),
        "texts": st.lists(TEXT, max_size=3),
        "text or texts": TEXT | st.lists(TEXT, min_size=1, max_size=3),
        "mapping": st.dictionaries(TEXT, TEXT, max_size=2),
    }
    chosen = kinds[key.kind]
    return chosen | st.just("auto") if key.auto else chosen


@st.composite
def contents(draw: st.DrawFn) -> dict[str, Any]:
    """A recipe's content with any readable keys; rules over several keys may be broken."""
    kind = draw(st.sampled_from(("full", "lora", "qlora")))
    content: dict[str, Any] = {"method": {"kind": kind}}
    for key in all_keys().values():
        fitting = key.section != "method" or (applies(key.name, kind) and key.name != "kind")
        if key.path != "zero.preset" and fitting and (key.required or draw(st.integers(0, 3)) == 0):
            (content.setdefault(key.section, {}) if key.section else content)[key.name] = escaped(draw(values(key)))
    return content


def escaped(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: escaped(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [escaped(inner) for inner in value]
    return value.replace("$", "S") if isinstance(value, str) else value


@given(contents())
@settings(max_examples=120, deadline=None)
def test_what_is_dumped_loads_to_the_same_recipe(content: dict[str, Any]) -> None:
    Recipe.model_validate(content)
    recipe = loaded(dump_yaml(content))
    if not isinstance(recipe, Recipe):
        # A rule over several keys objects: each key for itself is fine.
        return
    text = resolved_yaml(recipe)
    assert load_text(text) == recipe
    assert load_recipe(content).recipe == recipe
    assert list(Draft202012Validator(json_schema()).iter_errors(yaml.load(text, Loader=RecipeLoader))) == []


@given(st.text(max_size=30).filter(lambda text: text != "???"))
@settings(max_examples=120, deadline=None)
def test_any_text_survives_the_resolved_recipe(text: str) -> None:
    base = load_recipe({"model": {"path": "a"}, "data": {"path": "b"}, "output": {"dir": "c"}}).recipe
    output = base.output.model_copy(update={"sample_prompts": (text, "${x}")})
    recipe = base.model_copy(update={"output": output})
    assert load_text(resolved_yaml(recipe)) == recipe


@given(
    section=st.sampled_from(["", *sections()]),
    name=st.from_regex(r"[a-z][a-z_]{2,12}", fullmatch=True),
    before=st.integers(0, 4),
)
@settings(max_examples=120, deadline=None)
def test_an_unknown_key_at_any_depth_is_reported_with_its_line(section: str, name: str, before: int) -> None:
    if name in sections() or f"{section}.{name}".lstrip(".") in {*all_keys(), "base"}:
        return
    required = {"model": "path: a", "data": "path: b", "output": "dir: c"}
    lines = ["# a comment"] * before
    for other in sections():
        lines += [f"{other}:"] + ([f"  {required[other]}"] if other in required else ["  # empty"])
        if other == section:
            lines.append(f"  {name}: 1")
    if not section:
        lines.append(f"{name}: 1")
    line = next(number for number, text in enumerate(lines, start=1) if text.strip() == f"{name}: 1")
    found = loaded("\n".join(lines))
    assert isinstance(found, tuple)
    assert [(problem.where, problem.key) for problem in found] == [(f"r.yaml:{line}", f"{section}.{name}".lstrip("."))]


@given(st.text(max_size=60))
@settings(max_examples=200, deadline=None)
def test_whatever_the_text_a_recipe_loads_or_says_why(text: str) -> None:
    assert loaded(text)


@given(st.lists(st.text(max_size=20), max_size=3))
@settings(max_examples=200, deadline=None)
def test_whatever_is_typed_an_override_works_or_says_why(words: list[str]) -> None:
    assert loaded("model: {path: a}\ndata: {path: b}\noutput: {dir: c}\n", *words)


@given(st.sampled_from(list(all_keys())), st.integers(0, 30))
def test_a_name_with_one_letter_missing_is_still_found(path: str, at: int) -> None:
    at %= len(path)
    assert nearest_name(path[:at] + path[at + 1 :], all_keys()) is not None
