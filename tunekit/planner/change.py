"""A `Change`: recipe keys set to new values, as a person would type them, and the recipe that results."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

from tunekit.errors import RecipeError
from tunekit.planner.answer import as_typed
from tunekit.recipe.keys import all_keys
from tunekit.recipe.origin import Origin
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
        return " ".join(self.words)

    @property
    def words(self) -> tuple[str, ...]:
        """The same one by one."""
        return tuple(f"{key}={_word(value)}" for key, value in self.settings)


def joined(changes: Iterable[Change]) -> Change:
    """Several changes as one; a later setting of the same key stands over an earlier one."""
    every = tuple(changes)
    settings = {key: value for change in every for key, value in change.settings}
    return Change(
        settings=tuple(settings.items()),
        harm=sum(change.harm for change in every),
        note="; ".join(dict.fromkeys(change.note for change in every if change.note)),
    )


def applied(origin: Origin, change: Change) -> Recipe | None:
    """The recipe with the change typed behind what was typed, read by the loader; None where that is refused."""
    try:
        return origin.behind(change.words)
    except RecipeError:
        return None


def completed(origin: Origin, change: Change) -> Change:
    """The change with the words that it takes to leave open what was typed about the same, as another preset or method.

    So it holds behind the user's own words once those of the same keys are replaced.
    """
    keys = all_keys()
    rivals = ((key, "auto" if keys[key].auto else "null") for key in origin.rivals(change.words))
    return replace(change, settings=(*change.settings, *rivals))


def _word(value: Any) -> str:
    text = as_typed(value)
    # What is shown may be rounded; what is typed is not.
    return repr(value) if isinstance(value, float) and float(text) != value else text
