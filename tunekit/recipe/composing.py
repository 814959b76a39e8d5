"""From files and `key=value` to one plain mapping: bases below, the recipe on top, the command line above all.

OmegaConf resolves `${...}` when all is merged; the place of every key is kept on the way.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from tunekit.errors import Problem, RecipeError
from tunekit.limits import DEEPEST
from tunekit.recipe.finding import find_base
from tunekit.recipe.interpolation import resolve
from tunekit.recipe.keys import is_key, sections
from tunekit.recipe.overrides import COMMAND_LINE, Override
from tunekit.recipe.precedence import set_aside
from tunekit.recipe.source_map import KeyPath, Place, SourceMap, read_yaml


@dataclass(frozen=True, slots=True, kw_only=True)
class Composed:
    """One mapping with everything merged and resolved, and where each key came from.

    `faulty` are keys whose value could not be made; they are reported in `problems` and absent from `content`.
    """

    content: dict[str, Any]
    places: Mapping[KeyPath, Place]
    problems: tuple[Problem, ...]
    faulty: frozenset[KeyPath]
    start: str
    """What messages call the place of a key that is not there at all."""
    file: Mapping[str, Any]
    """What the recipe says over its bases, before any override, with `${...}` as written."""

    def place(self, path: KeyPath) -> Place | None:
        """Where a key stands, or else the section it belongs to."""
        lengths = range(len(path), 0, -1)
        return next((self.places[path[:length]] for length in lengths if path[:length] in self.places), None)

    def where(self, path: KeyPath) -> str:
        """The place of a key as messages say it."""
        place = self.place(path)
        return str(place) if place else self.start


def compose(text: str, *, name: str, path: Path | None, overrides: Sequence[Override]) -> Composed:
    """Compose a recipe text with its bases and overrides; raises RecipeError where a file cannot be read at all."""
    layers = _layers(read_yaml(text, file=name), name, path)
    return _merge(layers, overrides, start=f"{name}:1")


def compose_mapping(content: Mapping[str, Any], *, name: str, overrides: Sequence[Override]) -> Composed:
    """Compose a plain mapping, as a notebook gives it, with overrides."""
    values = plain(content)
    places = {path: Place(document=0, line=0, file=name) for path in _paths(values, ())}
    layers = _layers(SourceMap(content=values, places=places, problems=()), name, None)
    return _merge(layers, overrides, start=name)


def _layers(source: SourceMap, name: str, path: Path | None) -> list[SourceMap]:
    """The recipe's own document last, its bases before it, each base below what names it."""
    documents: list[SourceMap] = []

    def visit(source: SourceMap, name: str, path: Path | None, chain: tuple[str, ...]) -> None:
        for base in _bases(source, name):
            place = source.places[("base",)]
            found = find_base(base, beside=path, where=str(place), chain=chain)
            visit(read_yaml(found.text, file=found.name), found.name, found.path, (*chain, found.identity))
        documents.append(
            replace(source, content={key: value for key, value in source.content.items() if key != "base"})
        )

    visit(source, name, path, (str(path.resolve()) if path else name,))
    return _numbered(documents)


def _numbered(documents: list[SourceMap]) -> list[SourceMap]:
    # The recipe comes first in messages, then the bases from the nearest down.
    top = len(documents) - 1
    if not top:
        return documents
    return [
        replace(source, places={path: replace(place, document=top - index) for path, place in source.places.items()})
        for index, source in enumerate(documents)
    ]


def _bases(source: SourceMap, name: str) -> list[str]:
    base = source.content.get("base", [])
    bases = [base] if isinstance(base, str) else base
    if isinstance(bases, list) and all(isinstance(entry, str) and entry for entry in bases):
        return bases
    where = str(source.places[("base",)])
    allowed = "a file beside this one, the name of a shipped recipe, or a list of these"
    raise RecipeError(
        [
            Problem(
                key="base", where=where, found="found nothing" if base is None else f"found {base!r}", allowed=allowed
            )
        ],
        source=name,
    )


def _merge(layers: Sequence[SourceMap], overrides: Sequence[Override], *, start: str) -> Composed:
    problems = [problem for layer in reversed(layers) for problem in layer.problems]
    places: dict[KeyPath, Place] = {}
    content: dict[str, Any] = {}
    for depth, layer in enumerate(layers):
        places.update(layer.places)
        content = _above(content, layer.content) if depth else layer.content
    file = content
    for index, override in enumerate(overrides):
        place = Place(document=len(layers), line=0, column=index, file=COMMAND_LINE)
        places.update({path: place for path in _paths(_nested(override.path, override.value), ())})
        places[override.path] = replace(place, raw=override.raw)
    content = _above(content, typed_values(overrides))
    # A section of which every line is commented out is an empty one.
    content = {key: {} if value is None and key in sections() else value for key, value in content.items()}
    resolved = resolve(content)
    for path, fault in resolved.faults.items():
        problems.append(replace(fault, where=str(places.get(path) or start)))
    return Composed(
        content=resolved.content,
        places=places,
        problems=tuple(problems),
        faulty=frozenset(resolved.faults),
        start=start,
        file=file,
    )


def _above(below: dict[str, Any], above: dict[str, Any]) -> dict[str, Any]:
    return _kept(dict(_over(set_aside(below, above), above)), above)


def _kept(merged: dict[str, Any], above: dict[str, Any], path: KeyPath = ()) -> dict[str, Any]:
    """Without the keys for which the upper layer says null: their defaults hold. Unknown ones are left to be told."""
    return {
        name: _kept(value, above[name], (*path, name))
        if isinstance(value, dict) and isinstance(above.get(name), dict)
        else value
        for name, value in merged.items()
        if value is not None or name not in above or not is_key(".".join((*path, name)))
    }


def typed_values(overrides: Sequence[Override]) -> dict[str, Any]:
    """The overrides as one mapping of sections."""
    content: dict[str, Any] = {}
    for override in overrides:
        content = dict(_over(content, _nested(override.path, override.value)))
    return content


def _over(below: Any, above: Any, depth: int = 0) -> Any:
    # Sections merge key by key; everything else, lists too, is replaced. An empty section changes nothing.
    if not isinstance(below, dict) or not isinstance(above, dict):
        return below if isinstance(below, dict) and above is None and depth == 1 else above
    return {**below, **{key: _over(below.get(key), value, depth + 1) for key, value in above.items()}}


def _nested(path: KeyPath, value: Any) -> dict[str, Any]:
    for part in reversed(path):
        value = {part: value}
    return dict(value)


def _paths(value: Any, path: KeyPath) -> Iterator[KeyPath]:
    """Paths of everything below `value`."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in items:
        yield (*path, str(key))
        yield from _paths(inner, (*path, str(key)))


def plain(value: Any, depth: int = 0) -> Any:
    """Mappings as dicts with text keys, sequences as lists, all else as text: what a YAML file would hold.

    RecipeError: nested too deep, for example in itself.
    """
    if depth > DEEPEST:
        found = f"found sections or lists inside each other more than {DEEPEST} deep"
        raise RecipeError([Problem(key="", where="the mapping", found=found)])
    if isinstance(value, Mapping):
        return {str(key): plain(inner, depth + 1) for key, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(inner, depth + 1) for inner in value]
    return value if type(value) in (str, int, float, bool, type(None)) else str(value)
