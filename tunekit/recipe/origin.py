"""What a recipe was made of, so that more words can be typed behind it and read by the loader that made it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tunekit.errors import RecipeError
from tunekit.recipe.composing import compose_mapping, typed_values
from tunekit.recipe.keys import all_keys
from tunekit.recipe.overrides import COMMAND_LINE, parse_overrides, retyped
from tunekit.recipe.precedence import set_aside
from tunekit.recipe.schema import Recipe
from tunekit.recipe.validation import validate


@dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """`file`: what the file says over its bases, or the mapping; `typed`: the `key=value` words over it."""

    file: Mapping[str, Any]
    typed: tuple[str, ...] = ()

    def behind(self, words: Sequence[str]) -> Recipe:
        """The recipe when these words are typed too. RecipeError: it is refused."""
        typed, malformed = parse_overrides(retyped(self.typed, words))
        recipe, problems = validate(compose_mapping(self.file, name="the recipe", overrides=typed))
        if recipe is None or malformed:
            raise RecipeError((*problems, *malformed), source=f"the {COMMAND_LINE}")
        return recipe

    def states(self, key: str) -> bool:
        """Whether the file gives the key a value, even one that a typed word sets aside."""
        return _given(self.file, key)

    def rivals(self, words: Sequence[str]) -> Iterator[str]:
        """Typed keys that these words replace by saying the same in another way, as a lower layer's would be."""
        before = typed_values(parse_overrides(self.typed)[0])
        above = typed_values(parse_overrides(words)[0]) if before else {}
        kept = set_aside(before, above)
        for key in all_keys():
            if _given(before, key) and not _given(kept, key) and not _given(above, key):
                yield key


def _given(values: Mapping[str, Any], key: str) -> bool:
    section, _, name = key.rpartition(".")
    inner = values.get(section) if section else values
    return isinstance(inner, Mapping) and inner.get(name) not in (None, "auto")
