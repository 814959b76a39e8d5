"""Resolves `${...}` with OmegaConf, key by key, so that every fault is found and none hides another."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tunekit.errors import Problem
from tunekit.recipe.keys import all_keys, nearest_name, spelled
from tunekit.recipe.source_map import KeyPath

_LEFT_OPEN = "???"
_NOT_THERE = re.compile(r"Interpolation key '(?P<key>.*)' not found")


@dataclass(frozen=True, slots=True, kw_only=True)
class Resolved:
    """The content without `${...}`; keys that could not be resolved are left out and stand in `faults`."""

    content: dict[str, Any]
    faults: Mapping[KeyPath, Problem]


def resolve(content: dict[str, Any]) -> Resolved:
    """Replace every `${...}` by what it refers to; a `???` is a fault: the base leaves it to be filled in."""
    faults: dict[KeyPath, Problem] = {}
    # Only a recipe that refers to something pays for the import.
    config = _config(content, faults) if "${" in str(content) else None
    return Resolved(content=_section(content, config, (), faults), faults=faults)


def _config(content: dict[str, Any], faults: dict[KeyPath, Problem]) -> Any:
    from omegaconf import OmegaConf
    from omegaconf.errors import OmegaConfBaseException

    while True:
        try:
            return OmegaConf.create(content)
        except OmegaConfBaseException as error:
            path = _drop(content, re.findall(r"[^.\[\]]+", str(error.full_key)))
            faults[path] = _fault(
                path, f"cannot be read: {_first_line(error)}", "write ${section.key}, or escape it: \\${"
            )


def _drop(content: dict[str, Any], path: list[str]) -> KeyPath:
    """Remove a key, or the list that holds it; the path of what was removed."""
    section: Any = content
    for depth, part in enumerate(path[:-1]):
        if not isinstance(section[part], dict):
            del section[part]
            return tuple(path[: depth + 1])
        section = section[part]
    del section[path[-1]]
    return tuple(path)


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
