"""Gives problems that were found later, against model and machine, the line of the recipe they are about."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

from tunekit.errors import Problem
from tunekit.recipe.composing import compose
from tunekit.recipe.loading import LoadedRecipe
from tunekit.recipe.overrides import parse_overrides


def placed(problems: Iterable[Problem], loaded: LoadedRecipe) -> tuple[Problem, ...]:
    """The problems with `where` filled in: `file:line`, `command line`, or the file where the key is not written."""
    overrides, _ = parse_overrides(loaded.overrides)
    name = loaded.path or "the recipe"
    path = Path(loaded.path) if loaded.path else None
    composed = compose(loaded.text, name=name, path=path, overrides=overrides)
    return tuple(replace(each, where=each.where or composed.where(tuple(each.key.split(".")))) for each in problems)
