"""Loads a recipe: file, shipped name or mapping, with `key=value` changes, into a `Recipe` that holds."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeAlias

import yaml

from tunekit.errors import Problem, RecipeError
from tunekit.recipe.composing import Composed, compose, compose_mapping, plain
from tunekit.recipe.finding import find_recipe
from tunekit.recipe.origin import Origin
from tunekit.recipe.overrides import COMMAND_LINE, parse_overrides
from tunekit.recipe.precedence import applies
from tunekit.recipe.schema import Recipe
from tunekit.recipe.source_map import RecipeDumper
from tunekit.recipe.validation import validate

MAPPING = "the mapping"


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadedRecipe:
    """A recipe and what it was loaded from: the text as given, its path (None for a mapping), the overrides."""

    recipe: Recipe
    text: str
    path: str | None
    overrides: tuple[str, ...]
    file: Mapping[str, Any]
    """What the text says over its bases, before the overrides."""
    name: str = MAPPING
    """What messages call a mapping."""

    @property
    def origin(self) -> Origin:
        """What it was made of, to type more behind it."""
        return Origin(file=self.file, typed=self.overrides)


ON = "--on"
"""The flag that names a machine beside the recipe."""
TYPED = (COMMAND_LINE, ON)
Check: TypeAlias = Callable[[Mapping[str, Any]], Iterable[Problem]]
"""What else is wrong with the values of a recipe; asked where something is, so that all is told at once."""


def load_recipe(
    source: str | Path | Mapping[str, Any],
    overrides: Sequence[str] = (),
    *,
    check: Check | None = None,
    name: str = MAPPING,
) -> LoadedRecipe:
    """Load a file, a shipped recipe by name, or a mapping; `overrides` are `key=value` texts that stand over it.

    `name` is what messages call a mapping.
    Raises RecipeError with every problem at once, UsageError when there is no such recipe.
    """
    if isinstance(source, Mapping):
        text = dump_yaml(plain(source))
        return _load(source, text=text, name=name, path=None, overrides=overrides, check=check)
    found = find_recipe(str(source))
    return _load(found.text, text=found.text, name=found.name, path=found.path, overrides=overrides, check=check)


def load_text(text: str, *, name: str = "recipe.yaml", overrides: Sequence[str] = ()) -> Recipe:
    """A recipe from YAML text; `name` is what messages call it. Raises RecipeError with every problem at once."""
    return _load(text, text=text, name=name, path=None, overrides=overrides).recipe


def resolved_yaml(recipe: Recipe) -> str:
    """The whole recipe as YAML, every key that applies written out; loading it gives an equal recipe."""
    return dump_yaml(as_mapping(recipe))


def as_mapping(recipe: Recipe, *, written_only: bool = False) -> dict[str, Any]:
    """The recipe as `load_recipe` takes it: the keys that apply, or of these only those that were written."""
    values, kind = recipe.model_dump(mode="json", exclude_unset=written_only), recipe.method.kind
    if "method" in values:
        values["method"] = {name: value for name, value in values["method"].items() if applies(name, kind)}
    return dict(_escaped(values))


def origin_of(recipe: Recipe) -> Origin:
    """Of a recipe that nobody can say more about: what is written in it."""
    return Origin(file=as_mapping(recipe, written_only=True))


def dump_yaml(values: Any) -> str:
    """Plain values as YAML in their own order, so that `load_text` reads the same values."""
    # YAML breaks lines at these three, and PyYAML writes them unescaped.
    breaks = any(escape in repr(values) for escape in ("\\x85", "\\u2028", "\\u2029"))
    return yaml.dump(values, Dumper=RecipeDumper, sort_keys=False, allow_unicode=not breaks, width=120)


def _load(
    source: str | Mapping[str, Any],
    *,
    text: str,
    name: str,
    path: Path | None,
    overrides: Sequence[str],
    check: Check | None = None,
) -> LoadedRecipe:
    typed, malformed = parse_overrides(overrides)
    composed: Composed
    if isinstance(source, str):
        composed = compose(source, name=name, path=path, overrides=typed)
    else:
        composed = compose_mapping(source, name=name, overrides=typed)
    recipe, problems = validate(composed)
    if recipe is None or malformed:
        more = check(composed.content) if check else ()
        faults = (*problems, *malformed, *(_placed(fault, composed) for fault in more))
        typed_only = all(fault.where in TYPED for fault in faults)
        raise RecipeError(faults, source=f"the {COMMAND_LINE}" if typed_only else name)
    return LoadedRecipe(
        recipe=recipe,
        text=text,
        path=str(path) if path else None,
        overrides=tuple(overrides),
        file=composed.file,
        name=name,
    )


def _placed(fault: Problem, composed: Composed) -> Problem:
    return fault if fault.where else replace(fault, where=composed.where(tuple(fault.key.split("."))))


def _escaped(value: Any) -> Any:
    # A text that holds `${` is meant literally once it is resolved.
    if isinstance(value, dict):
        return {key: _escaped(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [_escaped(inner) for inner in value]
    return value.replace("${", "\\${") if isinstance(value, str) else value
