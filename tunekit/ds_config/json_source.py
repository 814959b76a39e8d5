"""Reads a JSON file and remembers in which line every key stands; faults are reported with line and column."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tunekit.errors import Problem, RecipeError, UsageError
from tunekit.limits import DEEPEST, TEXT_BYTES, TooLarge, read_text
from tunekit.source_lines import SourceLines

_LONGEST_NUMBER = 300
"""Digits of a whole number that is still read; a float ends at 1.8e308."""
_TOKEN = re.compile(r'"(?:[^"\\]|\\.)*"|[{}\[\],:]|[^\s{}\[\],:"]+')


@dataclass(frozen=True, slots=True)
class _NoNumber:
    """What stands where a number should and is none: NaN, Infinity, 1e400."""

    text: str


def read_json_source(path: Path, *, name: str) -> SourceLines:
    """Read an object from `path`; `name` is what messages call the file.

    Raises RecipeError with line and column for text that is not JSON, for a key that stands twice in one section (JSON
    readers keep the last one silently, DeepSpeed refuses it), for NaN, infinities and numbers too large for a float
    (Python reads them, JSON has none), and for anything but an object.
    """
    try:
        text = read_text(path, most=TEXT_BYTES)
    except (OSError, UnicodeDecodeError, TooLarge) as error:
        raise UsageError(f"{name}: cannot be read ({error}); it must be a UTF-8 JSON file.") from None
    try:
        content = json.loads(text, parse_constant=_NoNumber, parse_float=_float, parse_int=_int)
        no_numbers = tuple(_no_numbers(content))
    except json.JSONDecodeError as error:
        raise RecipeError([_syntax_problem(error, name)], source=name) from None
    except RecursionError:
        raise RecipeError([Problem(key="", where=name, found="objects nested too deep to read")], source=name) from None
    if not isinstance(content, dict):
        found = f"found {_kind(content)}"
        raise RecipeError([Problem(key="", where=name, found=found, allowed="a JSON object { ... }")], source=name)
    lines, repeated = _lines(text)
    if repeated:
        raise RecipeError([_repeated_problem(name, key, line, lines[key]) for key, line in repeated], source=name)
    source = SourceLines(file=name, content=content, lines=lines)
    if no_numbers:
        raise RecipeError([_number_problem(source, key, value) for key, value in no_numbers], source=name)
    return source


def _float(text: str) -> float | _NoNumber:
    value = float(text)
    return value if math.isfinite(value) else _NoNumber(text)


def _int(text: str) -> int | _NoNumber:
    return int(text) if len(text) <= _LONGEST_NUMBER else _NoNumber(text)


def _no_numbers(value: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[str, _NoNumber]]:
    """Every number that is none, under its dotted key; elements of lists are numbered."""
    if len(path) > DEEPEST:
        raise RecursionError
    if isinstance(value, _NoNumber):
        yield ".".join(path), value
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for name, item in inner:
        yield from _no_numbers(item, (*path, str(name)))


def _number_problem(source: SourceLines, key: str, value: _NoNumber) -> Problem:
    shown = value.text if len(value.text) <= 20 else f"{value.text[:19]}…"
    allowed = "allowed: a finite number, below 1.8e308; JSON has no NaN and no Infinity"
    return Problem(key=key, where=source.where(key), found=f"found {shown}", allowed=allowed)


def _syntax_problem(error: json.JSONDecodeError, name: str) -> Problem:
    where = f"{name}:{error.lineno}:{error.colno}"
    hint = "JSON has no comments, no trailing commas and only double quotes"
    return Problem(key="", where=where, found=f"this is not JSON: {error.msg}", hint=hint)


def _repeated_problem(name: str, key: str, line: int, first: int) -> Problem:
    found = f"found a second time; it stands in line {first} already"
    return Problem(key=key, where=f"{name}:{line}", found=found, hint="keep one of the two")


def _kind(value: Any) -> str:
    return "a list" if isinstance(value, list) else "a single value"


def _lines(text: str) -> tuple[dict[str, int], list[tuple[str, int]]]:
    """Line of every key of a text that is known to be JSON, and the keys that stand twice with their second line."""
    lines: dict[str, int] = {}
    repeated: list[tuple[str, int]] = []
    for key, line in _keys(text):
        if key in lines:
            repeated.append((key, line))
        lines.setdefault(key, line)
    return lines, repeated


def _keys(text: str) -> Iterator[tuple[str, int]]:
    """Dotted key and line of every entry; elements of lists are numbered."""
    path: list[str | int] = []
    previous = ""
    for match in _TOKEN.finditer(text):
        token = match.group()
        if token in "{[":
            path.append("" if token == "{" else 0)
        elif token in "}]":
            path.pop()
        elif token == "," and isinstance(path[-1], int):
            path[-1] += 1
        elif token == ":":
            path[-1] = json.loads(previous)
            yield ".".join(str(part) for part in path), text.count("\n", 0, match.start()) + 1
        previous = token
