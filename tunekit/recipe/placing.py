"""Gives problems that were found later, against model and machine, the line of the recipe they are about."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

from tunekit.errors import Problem
from tunekit.recipe.composing import Composed, compose, compose_mapping
from tunekit.recipe.loading import LoadedRecipe
from tunekit.recipe.overrides import parse_overrides
from tunekit.recipe.source_map import read_yaml


def placed(problems: Iterable[Problem], loaded: LoadedRecipe) -> tuple[Problem, ...]:
    """The problems with `where` filled in: `file:line`, `command line`, or the file where the key is not written."""
    composed = _composed(loaded)
    return tuple(replace(each, where=each.where or composed.where(tuple(each.key.split(".")))) for each in problems)


def shown_name(loaded: LoadedRecipe) -> str:
    """What messages call the recipe: its path, short where it lies below the current folder."""
    if loaded.path is None:
        return loaded.name
    path = Path(loaded.path)
    return str(path.relative_to(Path.cwd())) if path.is_relative_to(Path.cwd()) else loaded.path


def _composed(loaded: LoadedRecipe) -> Composed:
    overrides, _ = parse_overrides(loaded.overrides)
    if loaded.path is None:
        # The text of a mapping was written by us: its lines mean nothing to the user.
        content = read_yaml(loaded.text, file=loaded.name).content
        return compose_mapping(content, name=loaded.name, overrides=overrides)
    return compose(loaded.text, name=shown_name(loaded), path=Path(loaded.path), overrides=overrides)
