"""Reads a hardware file: plain values, and the line of every key."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import yaml

from tunekit.errors import Problem, RecipeError
from tunekit.limits import TooLarge, check_tree, of_yaml_node
from tunekit.source_lines import SourceLines

_Loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


def read_yaml_lines(text: str, *, file: str) -> SourceLines:
    """Read one mapping; RecipeError for text that is no YAML, no mapping, or has a key twice."""
    node: yaml.Node | None = None
    try:
        node = yaml.compose(text, Loader=_Loader)
        if node is not None:
            check_tree(node, of_yaml_node)
        content = yaml.load(text, Loader=_Loader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        where = f"{file}:{mark.line + 1}" if mark else file
        hint = "check indentation (spaces, not tabs), brackets and quotes"
        raise _fault(where, f"this is not YAML: {error.problem or error.context}", hint, file) from None
    except yaml.YAMLError as error:
        raise _fault(file, f"this is not YAML: {str(error).splitlines()[0]}", "save it as UTF-8 text", file) from None
    except ValueError as error:
        # PyYAML makes a date of 2026-13-45 and a number of !!int abc without looking.
        where, value = _unreadable(node, file)
        hint = f'write it in quotes if it is text: "{value}"'
        raise _fault(where, f"{value} cannot be read ({error})", hint, file) from None
    except (TooLarge, RecursionError) as error:
        raise _fault(file, f"found {error}", "a profile is three levels deep", file) from None
    if not isinstance(node, yaml.MappingNode) or not isinstance(content, dict):
        raise _fault(file, "found no `key: value` lines", "tunekit hardware show dual_rtx4090 has an example", file)
    entries = tuple(_entries(node, ""))
    lines: dict[str, int] = {}
    for key, line in entries:
        if lines.setdefault(key, line) != line:
            found = f"{key} stands here a second time; it stands in line {lines[key]} already"
            raise _fault(f"{file}:{line}", found, "keep one of the two", file)
    return SourceLines(file=file, content=content, lines=lines)


def _entries(node: yaml.Node, prefix: str) -> Iterator[tuple[str, int]]:
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            name = f"{prefix}{key.value}"
            yield name, key.start_mark.line + 1
            yield from _entries(value, f"{name}.")
    elif isinstance(node, yaml.SequenceNode):
        for index, value in enumerate(node.value):
            yield f"{prefix}{index}", value.start_mark.line + 1
            yield from _entries(value, f"{prefix}{index}.")


def _unreadable(node: yaml.Node | None, file: str) -> tuple[str, str]:
    """Place and text of the first value that cannot be made."""
    for each in _scalars(node):
        try:
            _Loader("").construct_object(each)
        except ValueError:
            return f"{file}:{each.start_mark.line + 1}", str(each.value)
    return file, "a value"


def _scalars(node: Any) -> Iterator[yaml.ScalarNode]:
    if isinstance(node, yaml.ScalarNode):
        yield node
    elif node is not None:
        parts = (part for entry in node.value for part in (entry if isinstance(entry, tuple) else (entry,)))
        yield from (each for part in parts for each in _scalars(part))


def _fault(where: str, found: str, hint: str, file: str) -> RecipeError:
    return RecipeError([Problem(key="", where=where, found=found, hint=hint)], source=file)
