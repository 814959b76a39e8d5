"""Holds a composed recipe against the schema and the rules, and words every fault for the person who typed it."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Iterable, Iterator
from functools import lru_cache
from math import isfinite
from typing import Any

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from tunekit.errors import Problem
from tunekit.recipe.checks import Reader, check_recipe
from tunekit.recipe.composing import Composed
from tunekit.recipe.foreign_names import FOREIGN_NAMES, FOREIGN_VALUES
from tunekit.recipe.keys import Key, all_keys, names_in, nearest_name, sections, spelled
from tunekit.recipe.overrides import COMMAND_LINE
from tunekit.recipe.schema import Recipe
from tunekit.recipe.source_map import KeyPath, Place

_LONGEST = 60
_PLAIN = re.compile(r"[A-Za-z_][\w./-]*")
"""What YAML takes for the same text, in a list too."""


def validate(composed: Composed) -> tuple[Recipe | None, tuple[Problem, ...]]:
    """The recipe, or None and every problem of types, names, ranges and combinations, in the order of the file.

    Rules over several keys are checked as far as the keys they need could be read.
    """
    found = [*_numbers_that_are_flags(composed), *_pydantic_problems(composed)]
    faulty = {_key_path(path) for path, _ in found} | {_key_path(path) for path in composed.faulty}
    recipe = _readable(composed, faulty) if faulty else Recipe.model_validate(composed.content)
    rules = check_recipe(Reader(recipe=recipe, written=_written(composed), faulty=_dotted(faulty)))
    problems = [*composed.problems, *(problem for _, problem in found)]
    problems += [_placed(problem, composed) for problem in rules]
    if problems:
        return None, _in_file_order(problems, composed)
    return recipe, ()


def _pydantic_problems(composed: Composed) -> Iterator[tuple[KeyPath, Problem]]:
    """One problem per key: a key of several types would else be reported once per type."""
    try:
        Recipe.model_validate(composed.content)
    except ValidationError as errors:
        seen = set()
        for error in errors.errors(include_url=False):
            for path, problem in _translate(error, composed):
                if path not in seen and not _covered(path, composed.faulty):
                    yield path, problem
                seen.add(path)


def _translate(error: ErrorDetails, composed: Composed) -> Iterator[tuple[KeyPath, Problem]]:
    path = tuple(str(part) for part in error["loc"])
    if error["type"] == "extra_forbidden":
        yield path, _unknown(path, composed)
    elif error["type"] == "missing" and len(path) == 1 and path[0] in sections():
        yield from ((_parts(key.path), _missing(key, composed)) for key in _required(path[0]))
    elif len(path) == 1 and path[0] in sections():
        yield path, _no_section(path, error["input"], composed)
    elif error["type"] == "missing":
        yield path, _missing(all_keys()[".".join(path)], composed)
    elif not _is_flag_for_number(_key_of(path), error["input"]) and not _is_echo(path, error["input"]):
        yield _own_part(path), _wrong_value(_key_of(path), _own_part(path), error["input"], composed)


def _unknown(path: KeyPath, composed: Composed) -> Problem:
    *above, name = path
    section = ".".join(above)
    known = names_in(section)
    better = _better_name(name, section, known)
    return Problem(
        key=".".join(path),
        where=composed.where(path),
        found="there is no such key",
        # The long list only where no name is near.
        allowed="" if better else f"{section or 'the top level'} has {', '.join(known)}",
        hint=better or "write one of these, or remove it",
    )


def _better_name(name: str, section: str, known: Iterable[str]) -> str:
    if not section and name in all_keys():
        home, _, short = name.rpartition(".")
        return f"write {home}: on its own line and {short}: indented below"
    exact = [key.path for key in all_keys().values() if key.name == name]
    meant = exact[0] if exact else FOREIGN_NAMES.get(name)
    if meant is not None:
        home, _, short = meant.rpartition(".")
        return f"write {short} instead" if home == section else f"write it as {meant}"
    near = nearest_name(name, known)
    if near is not None:
        return f"did you mean {near}?"
    elsewhere = nearest_name(name, (key.name for key in all_keys().values()), likeness=0.75)
    paths = [key.path for key in all_keys().values() if key.name == elsewhere]
    return f"did you mean {paths[0]}?" if paths else ""


def _missing(key: Key, composed: Composed) -> Problem:
    return Problem(
        key=key.path,
        where=composed.where(_parts(key.path)),
        found="missing",
        allowed=f"required: {key.description.partition('. ')[0].rstrip('.')}",
        hint=f"write e.g. {key.name}: {key.example}",
    )


def _no_section(path: KeyPath, value: Any, composed: Composed) -> Problem:
    return Problem(
        key=path[0],
        where=composed.where(path),
        found=f"found {_shown(value, composed.place(path))}",
        allowed=f"a section with the keys {', '.join(names_in(path[0]))}",
        hint=f"write {path[0]}: on its own line and its keys indented below",
    )


def _wrong_value(key: Key, path: KeyPath, value: Any, composed: Composed) -> Problem:
    place = composed.place(path)
    return Problem(
        key=spelled(path),
        where=composed.where(path),
        found=f"found {_shown(value, place)}",
        allowed=f"allowed: {key.allowed}{', not empty' if value == '' else ''}",
        hint=_value_hint(key, value, place),
    )


def _value_hint(key: Key, value: Any, place: Place | None) -> str:
    if isinstance(value, str):
        hint = _text_hint(key, value, place)
    elif isinstance(value, (int, float)):
        hint = _number_hint(key, value, place)
    else:
        typed = place is not None and place.file == COMMAND_LINE
        hint = "" if value is not None or typed else "write a value, or remove the line"
    return hint or f"write e.g. {key.name}: {key.sample}"


def _text_hint(key: Key, value: str, place: Place | None) -> str:
    if value in FOREIGN_VALUES.get(key.path, ()):
        return FOREIGN_VALUES[key.path][value]
    if key.kind == "texts" or (key.kind == "choices" and value in key.choices):
        listed = f"[{value if _PLAIN.fullmatch(value) else json.dumps(value, ensure_ascii=False)}]"
        typed = place is not None and place.file == COMMAND_LINE
        return f"type {shlex.quote(f'{key.path}={listed}')}" if typed else f"write {listed}"
    if key.kind in ("choice", "choices"):
        near = nearest_name(value, (str(choice) for choice in key.choices))
        return f"did you mean {near}?" if near else ""
    return ""


def _number_hint(key: Key, value: Any, place: Place | None) -> str:
    if key.kind in ("text", "text or texts", "texts", "mapping"):
        return f'quote it: "{value if place is None or place.raw is None else place.raw}"'
    if value is False and "none" in key.choices:
        return "write none"
    if isinstance(value, bool) or not isfinite(value):
        return ""
    near = key.bounds.nearest(value)
    if near is None and key.kind == "whole number" and value != int(value):
        near = round(value)
    if near is None:
        return ""
    return f"nearest: {near}" if isinstance(near, int) else f"nearest: {near:g}"


def _numbers_that_are_flags(composed: Composed) -> Iterator[tuple[KeyPath, Problem]]:
    # pydantic would take `true` for 1.
    for key in all_keys().values():
        value = _at(composed.content, _parts(key.path))
        if _is_flag_for_number(key, value):
            yield _parts(key.path), _wrong_value(key, _parts(key.path), value, composed)


def _is_flag_for_number(key: Key, value: Any) -> bool:
    numeric = key.kind in ("number", "whole number") or (key.kind == "choice" and isinstance(key.choices[0], int))
    meant = key.off and value is False  # a bare `off`
    return numeric and isinstance(value, bool) and not meant


def _shown(value: Any, place: Place | None) -> str:
    """The value as it was typed; where YAML reads something else, that too."""
    raw = place.raw if place else None
    if value is None:
        return "nothing"
    if isinstance(value, (dict, list)):
        return "a section" if isinstance(value, dict) else _short(str(value))
    if raw is None or isinstance(value, str):
        return _short(
            repr(value) if isinstance(value, str) else str(value).lower() if isinstance(value, bool) else str(value)
        )
    read_as = str(value).lower() if isinstance(value, bool) else str(value)
    if raw == read_as:
        return raw
    return f"{raw}, which YAML reads as {'' if isinstance(value, bool) else 'the number '}{read_as}"


def _short(text: str) -> str:
    return text if len(text) <= _LONGEST else text[: _LONGEST - 1] + "…"


def _readable(composed: Composed, faulty: set[KeyPath]) -> Recipe:
    """The recipe without its faulty keys; what is missing is filled with examples and never looked at."""
    content: dict[str, Any] = {}
    for key in all_keys().values():
        path = _parts(key.path)
        value = _at(composed.content, path)
        if _covered(path, faulty) or value is None:
            value = key.example or None
        if value is not None:
            (content.setdefault(key.section, {}) if key.section else content)[key.name] = value
    return Recipe.model_validate(content)


def _written(composed: Composed) -> frozenset[str]:
    return frozenset(
        key.path for key in all_keys().values() if _at(composed.content, _parts(key.path)) not in (None, "auto")
    )


def _at(content: Any, path: KeyPath) -> Any:
    for part in path:
        content = content.get(part) if isinstance(content, dict) else None
    return content


def _in_file_order(problems: Iterable[Problem], composed: Composed) -> tuple[Problem, ...]:
    documents = {place.file: place.document for place in composed.places.values()}

    def position(problem: Problem) -> tuple[int, int, int]:
        place = composed.place(_parts(problem.key))
        if place is not None and str(place) == problem.where:
            return place.document, place.line, place.column
        file, _, line = problem.where.rpartition(":")
        return (documents.get(file, 0), int(line), 0) if line.isdigit() else (documents.get(problem.where, 0), 0, 0)

    return tuple(sorted(problems, key=position))


def _placed(problem: Problem, composed: Composed) -> Problem:
    return Problem(
        key=problem.key,
        where=composed.where(_parts(problem.key)),
        found=problem.found,
        allowed=problem.allowed,
        hint=problem.hint,
    )


def _required(section: str) -> Iterator[Key]:
    return (key for key in all_keys().values() if key.section == section and key.required)


def _key_of(path: KeyPath) -> Key:
    return all_keys()[".".join(_key_path(path))]


def _key_path(path: KeyPath) -> KeyPath:
    """The part of a path that names a key, without list places and type names below it."""
    return path[:1] if path[0] not in sections() else path[:2]


def _own_part(path: KeyPath) -> KeyPath:
    # Below a key only list places and mapping keys are the user's; the rest is pydantic's name of a type.
    depth = len(_key_path(path))
    below = [part for part in path[depth:] if part.isdigit() or _key_of(path).kind == "mapping"]
    return (*path[:depth], *below[:1])


def _is_echo(path: KeyPath, value: Any) -> bool:
    # A list with a wrong item is also reported as "no text": the item says more.
    return path[-1] == "str" and isinstance(value, list)


def _covered(path: KeyPath, faulty: Iterable[KeyPath]) -> bool:
    return any(path[: len(fault)] == fault or fault[: len(path)] == path for fault in faulty)


def _dotted(paths: Iterable[KeyPath]) -> frozenset[str]:
    return frozenset(".".join(path) for path in paths)


@lru_cache(maxsize=1024)
def _parts(key: str) -> KeyPath:
    return tuple(key.split("."))
