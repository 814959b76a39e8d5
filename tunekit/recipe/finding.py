"""From what the user typed to the text of a recipe: a file, or the name of a shipped recipe."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from tunekit.errors import Problem, RecipeError, UsageError
from tunekit.limits import TEXT_BYTES, TooLarge, read_text
from tunekit.recipe.keys import nearest_name
from tunekit.recipe.shipped import existing_path, shipped_names, shipped_path

_SUFFIXES = (".yaml", ".yml")


@dataclass(frozen=True, slots=True, kw_only=True)
class RecipeFile:
    """A recipe's text; `name` is what messages call it."""

    text: str
    name: str
    path: Path

    @property
    def identity(self) -> str:
        """Equal for the same file, however it was reached."""
        return str(self.path.resolve())


def find_recipe(source: str) -> RecipeFile:
    """Read the recipe that the user named; raises UsageError with the nearest names when there is none."""
    path = existing_path(source)
    if path is not None and path.is_file():
        return _read(path, name=source)
    shipped = shipped_path(f"recipes/{source}.yaml")
    if shipped is not None:
        return _read(shipped, name=f"recipes/{source}.yaml")
    if path is not None and source:
        kind = "a folder" if path.is_dir() else "no file"
        raise UsageError(f"{source} is {kind}, not a recipe.{_files_in(path)}")
    raise UsageError(
        f"There is no recipe {source or repr(source)}: neither a file nor a shipped name. {_suggestion(source)}"
    )


def find_base(entry: str, *, beside: Path | None, where: str, chain: tuple[str, ...]) -> RecipeFile:
    """Read one entry of `base:`; raises RecipeError when it is not there or leads back to where it started."""
    found = _base_file(entry, beside)
    if found is None:
        folder = (
            f"looked beside {beside} and among the shipped recipes" if beside else "looked among the shipped recipes"
        )
        raise RecipeError(
            [Problem(key="base", where=where, found=f"there is no {entry} ({folder})", hint=_suggestion(entry))]
        )
    if found.identity in chain:
        circle = " -> ".join(Path(link).name for link in (*chain, found.identity))
        raise RecipeError(
            [Problem(key="base", where=where, found=f"goes in a circle: {circle}", hint="remove one of them")]
        )
    return found


def unknown_name(name: str) -> UsageError:
    """The error for a name that no shipped recipe has."""
    return UsageError(f"No shipped recipe is called {name}. {_suggestion(name)}")


def _base_file(entry: str, beside: Path | None) -> RecipeFile | None:
    near = (beside.parent if beside else Path()) / os.path.expanduser(entry)
    if os.path.isfile(near):
        return _read(near, name=str(near))
    shipped = shipped_path(f"recipes/{entry}.yaml") or shipped_path(entry)
    return _read(shipped, name=entry) if shipped is not None and shipped.is_file() else None


def _read(path: Path, *, name: str) -> RecipeFile:
    try:
        return RecipeFile(text=read_text(path, most=TEXT_BYTES, encoding="utf-8-sig"), name=name, path=path)
    except TooLarge as error:
        raise UsageError(f"{name} is no recipe: {error}.") from None
    except UnicodeDecodeError as error:
        raise UsageError(f"{name} is not UTF-8 text (byte {error.start}); save it as UTF-8.") from None
    except OSError as error:
        raise UsageError(f"{name} cannot be read: {error.strerror}. Check its permissions: ls -l {name}") from None


def _suggestion(name: str) -> str:
    names = shipped_names("recipes")
    near = nearest_name(Path(name).stem, names)
    listing = "`tunekit recipes` lists those that are shipped."
    return f"Did you mean {near}? {listing}" if near else listing


def _files_in(folder: Path) -> str:
    files = sorted(str(path) for path in folder.glob("*") if path.suffix in _SUFFIXES)
    return f" It holds: {', '.join(files[:8])}." if files else ""
