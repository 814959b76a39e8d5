"""Resolves `${...}` with OmegaConf, key by key, so that every fault is found and none hides another."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from math import prod
from typing import Any

from tunekit.errors import Problem
from tunekit.recipe.keys import all_keys, nearest_name, spelled
from tunekit.recipe.source_map import KeyPath
from tunekit.secrecy import is_secret_name

_LEFT_OPEN = "???"
_LONGEST = 4_000
"""Characters of a text with `${...}`: its grammar is slow to read."""
_MOST_CHARACTERS = 20_000_000
"""What all references together may grow to: a few lines of `${a}${a}` can stand for 10^9 characters."""
_ENVIRONMENT = re.compile(r"oc\.env:\s*(\w+)")
_NOT_THERE = re.compile(r"Interpolation key '(?P<key>.*)' not found")


@dataclass(frozen=True, slots=True, kw_only=True)
class Resolved:
    """The content without `${...}`; keys that could not be resolved are left out and stand in `faults`."""

    content: dict[str, Any]
    faults: Mapping[KeyPath, Problem]


def resolve(content: dict[str, Any]) -> Resolved:
    """Replace every `${...}` by what it refers to; a `???` is a fault: the base leaves it to be filled in."""
    faults = dict(_unanswered(content))
    for path in faults:
        _drop(content, path)
    # Only a recipe that refers to something pays for the import.
    config = _config(content, faults) if "${" in str(content) else None
    return Resolved(content=_section(content, config, (), faults), faults=faults)


def _unanswered(content: dict[str, Any]) -> Iterator[tuple[KeyPath, Problem]]:
    """Keys whose references are not followed: they name secrets, are too long, or all together grow too large."""
    texts = tuple(_texts(content, ()))
    references = tuple((path, text) for path, text in texts if "${" in text)
    if not references:
        return
    sections = (_expansions(part) for part in content.values())
    grow = prod(sections) * max([1_000, *(len(text) for _, text in texts)]) > _MOST_CHARACTERS
    for path, text in references:
        secret = next((name for name in _ENVIRONMENT.findall(text) if is_secret_name(name)), None)
        if secret is not None:
            found = f"found {text[:60]}: a recipe is kept in the run directory, and {secret} is a secret"
            yield path, _fault(path, found, "remove it; libraries read it from the environment by themselves")
        elif len(text) > _LONGEST:
            yield path, _fault(path, f"found {len(text):,} characters with ${{…}}", f"at most {_LONGEST:,}")
        elif grow:
            yield (
                path,
                _fault(path, f"found {text[:60]}: the references of this recipe grow without end", "write it out"),
            )


def _texts(value: Any, path: KeyPath) -> Iterator[tuple[KeyPath, str]]:
    """Every text with its path."""
    if isinstance(value, str):
        yield path, value
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for name, inner in items:
        yield from _texts(inner, (*path, str(name)))


def _expansions(value: Any) -> int:
    """How often a text can be written out at most, where every reference leads to what has the most of them.

    A chain of references comes by each text and each section once at most, and each multiplies by its own number.
    """
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    own = max(1, sum(text.count("${") for _, text in _texts(value, ())))
    for part in inner:
        own = min(own * _expansions(part), _MOST_CHARACTERS)
    return own


def _config(content: dict[str, Any], faults: dict[KeyPath, Problem]) -> Any:
    """OmegaConf's view of the content; texts whose `${` it cannot read become faults and leave the content."""
    from omegaconf import OmegaConf
    from omegaconf.errors import OmegaConfBaseException

    for path, text in tuple(_texts(content, ())):
        try:
            if "${" in text:
                OmegaConf.create({"text": text})
        except (OmegaConfBaseException, RecursionError) as error:
            holder = _drop(content, path)
            hint = "write ${section.key}, or escape it: \\${"
            faults.setdefault(holder, _fault(holder, f"cannot be read: {_first_line(error)}", hint))
    return OmegaConf.create(content)


def _drop(content: dict[str, Any], path: KeyPath) -> KeyPath:
    """Remove a key, or the list that holds it; the path of what was removed, or was removed before."""
    section: Any = content
    for depth, part in enumerate(path[:-1]):
        if not isinstance(section.get(part), dict):
            section.pop(part, None)
            return path[: depth + 1]
        section = section[part]
    section.pop(path[-1], None)
    return path


def _section(values: dict[str, Any], config: Any, path: KeyPath, faults: dict[KeyPath, Problem]) -> dict[str, Any]:
    result = {}
    for key, value in values.items():
        before = len(faults)
        resolved = _value(value, config, key, (*path, key), faults)
        if isinstance(value, dict) or len(faults) == before:
            result[key] = resolved
    return result


def _value(value: Any, config: Any, key: str | int, path: KeyPath, faults: dict[KeyPath, Problem]) -> Any:
    if isinstance(value, dict):
        return _section(value, config[key] if config is not None else None, path, faults)
    if isinstance(value, list):
        inner = config[key] if config is not None else None
        return [_value(item, inner, index, (*path, str(index)), faults) for index, item in enumerate(value)]
    if value == _LEFT_OPEN:
        faults[path] = _fault(
            path, "found ???: it is left for you to fill in", f"write a value, or type {spelled(path)}=VALUE"
        )
    elif isinstance(value, str) and "${" in value:
        return _reference(value, config, key, path, faults)
    return value


def _reference(value: str, config: Any, key: str | int, path: KeyPath, faults: dict[KeyPath, Problem]) -> Any:
    from omegaconf import OmegaConf
    from omegaconf.errors import OmegaConfBaseException

    try:
        found = config[key]
        return OmegaConf.to_container(found, resolve=True) if OmegaConf.is_config(found) else found
    except (OmegaConfBaseException, RecursionError) as error:
        faults[path] = _explained(value, path, _first_line(error))
        return None


def _explained(value: str, path: KeyPath, message: str) -> Problem:
    missing = _NOT_THERE.search(message)
    if missing is None:
        circular = any(word in message for word in ("Recursive", "parent node", "too deep", "recursion"))
        if circular:
            return _fault(path, f"found {value}: it goes in a circle", "")
        return _fault(path, f"found {value}: {message}", "write ${section.key}, ${oc.env:NAME} or a value")
    key = missing["key"]
    if key in all_keys():
        return _fault(
            path, f"found {value}, but {key} is not written in this recipe", f"write {key} first, then refer to it"
        )
    near = nearest_name(key, all_keys(), likeness=0.8)
    return _fault(
        path,
        f"found {value}, but there is no key {key}",
        f"did you mean ${{{near}}}?" if near else "name a key of this recipe",
    )


def _fault(path: KeyPath, found: str, hint: str) -> Problem:
    return Problem(key=spelled(path), found=found, hint=hint)


def _first_line(error: BaseException) -> str:
    return (str(error).splitlines() or ["nested too deep"])[0]
