"""Keys of the recipe that were typed as flags: `--train.max_steps=3` is answered with what to type instead."""

from __future__ import annotations

import shlex
from collections.abc import Collection, Sequence
from typing import Any

from typer.core import TyperCommand

from tunekit.errors import UsageError


class RecipeCommand(TyperCommand):
    """A command that takes `KEY=VALUE` words."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Refuse keys that were typed as flags, then parse as ever."""
        refuse_flags(args, known={option for parameter in self.params for option in parameter.opts})
        return super().parse_args(ctx, args)


def refuse_flags(words: Sequence[str], known: Collection[str]) -> None:
    """Raise UsageError for the first word that is no known option but names a key of the recipe."""
    for index, word in enumerate(words):
        name, equals, value = word.partition("=")
        key = _key(name.removeprefix("--")) if name.startswith("--") and name not in known else None
        if key is not None:
            if not equals:
                value = next(iter(words[index + 1 : index + 2]), "VALUE")
            typed = shlex.quote(f"{key}={value}")
            raise UsageError(f"{word}: keys of the recipe are typed without dashes; write {typed}.")


def _key(name: str) -> str | None:
    """The key that a flag means: its whole path, or a last part that only one key has."""
    from tunekit.recipe.keys import all_keys

    written = name.replace("-", "_")
    paths = [key.path for key in all_keys().values() if written in (key.path, key.name)]
    if len(paths) == 1:
        return paths[0]
    # A misspelt path is answered by the recipe, with the nearest name.
    return written if "." in written else None
