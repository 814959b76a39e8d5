"""A `Change`: recipe keys set to new values, as a person would type them, and the recipe that results."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

from tunekit.planner.answer import as_typed
from tunekit.recipe.checks import Reader, check_recipe
from tunekit.recipe.keys import all_keys
from tunekit.recipe.precedence import set_aside
from tunekit.recipe.schema import Recipe

Setting = tuple[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """`harm` is what it costs beside speed: 0 nothing, 1 a plain loss of quality. `note` says what."""

    settings: tuple[Setting, ...]
    note: str
    harm: float = 0.0

    @property
    def typed(self) -> str:
        """What to type: `key=value`, several of them with spaces between."""
        return " ".join(f"{key}={as_typed(value)}" for key, value in self.settings)


def joined(changes: Iterable[Change]) -> Change:
    """Several changes as one; a later setting of the same key stands over an earlier one."""
    every = tuple(changes)
    settings = {key: value for change in every for key, value in change.settings}
    return Change(
        settings=tuple(settings.items()),
        harm=sum(change.harm for change in every),
        note="; ".join(dict.fromkeys(change.note for change in every if change.note)),
    )


def applied(recipe: Recipe, change: Change) -> Recipe | None:
    """The recipe after the change, exactly as loading it with these overrides gives it; None where that is refused."""
    typed = _tree(change.settings)
    # Unset keys stay unset: a DeepSpeed JSON of the user's own may state them.
    values = set_aside(recipe.model_dump(exclude_unset=True), typed)
    for name, value in typed.items():
        values[name] = {**values.get(name, {}), **value} if isinstance(value, dict) else value
    try:
        changed = Recipe.model_validate(values)
    except ValidationError:
        return None
    reader = Reader(recipe=changed, written=frozenset(_written(changed)), faulty=frozenset())
    return None if check_recipe(reader) else changed


def _tree(settings: Iterable[Setting]) -> dict[str, Any]:
    tree: dict[str, Any] = {}
    for key, value in settings:
        section, _, name = key.rpartition(".")
        (tree.setdefault(section, {}) if section else tree)[name] = None if value == "null" else value
    return tree


def _written(recipe: Recipe) -> Iterator[str]:
    """Keys with a value of their own; a value equal to the default counts as left out."""
    for path, key in all_keys().items():
        value = getattr(getattr(recipe, key.section), key.name) if key.section else getattr(recipe, key.name)
        if value is not None and value != key.default:
            yield path
