"""`key=value` words of the command line as values with a key path."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import yaml

from tunekit.errors import Problem
from tunekit.limits import DEEPEST, WORD_LENGTH
from tunekit.recipe.keys import all_keys
from tunekit.recipe.source_map import KeyPath, read_value

COMMAND_LINE = "command line"


@dataclass(frozen=True, slots=True, kw_only=True)
class Override:
    """One `key=value`: the path of the key, the text after the `=`, and the value it means."""

    path: KeyPath
    raw: str
    value: Any

    @property
    def key(self) -> str:
        """The dotted key."""
        return ".".join(self.path)


def parse_overrides(words: Sequence[str]) -> tuple[tuple[Override, ...], tuple[Problem, ...]]:
    """Read every word; a malformed one, or a key given twice with different values, is a problem."""
    overrides: dict[KeyPath, Override] = {}
    problems = []
    for word in words:
        read = _parse(word)
        if not isinstance(read, Override):
            problems.append(read)
        elif read.path in overrides and not _alike(overrides[read.path], read):
            problems.append(_given_twice(overrides[read.path], read))
        else:
            overrides[read.path] = read
    return tuple(overrides.values()), tuple(problems)


def retyped(words: Sequence[str], more: Sequence[str]) -> tuple[str, ...]:
    """The words with more behind them, each in the place of the word that gave the same key."""
    keys = {word.partition("=")[0] for word in more}
    return (*(word for word in words if word.partition("=")[0] not in keys), *more)


def _parse(word: str) -> Override | Problem:
    if len(word) > WORD_LENGTH:
        return _malformed(f"{word[:60]}…", f"{len(word):,} characters, at most {WORD_LENGTH:,}", "train.max_steps=10")
    key, equals, raw = word.partition("=")
    path = tuple(key.split("."))
    if len(path) > DEEPEST:
        return _malformed(f"{word[:60]}…", "the key has too many parts", "train.max_steps=10")
    if not equals:
        return _malformed(word, "there is no `=`", f"{word}=VALUE" if word in all_keys() else "train.max_steps=10")
    if key.startswith(("+", "-", "~")):
        return _malformed(word, "keys carry no sign in front", word.lstrip("+-~"))
    if not all(part and part == part.strip() for part in path):
        return _malformed(word, "the key has an empty part or a space", "train.max_steps=10")
    if path == ("base",):
        return Problem(
            key="base", where=COMMAND_LINE, found="found on the command line", allowed="allowed: base: in the file only"
        )
    try:
        return Override(path=path, raw=raw, value=_value(key, raw))
    except yaml.YAMLError:
        return _malformed(word, "the value is not YAML", f"{key}='[a, b]' with the brackets and quotes closed")


def _value(key: str, raw: str) -> Any:
    # Quotes do not survive the shell: what is typed for a text key is the text, so 1.10 stays 1.10.
    known = all_keys().get(key)
    starts = ("'", '"', "[") if known and known.kind == "text or texts" else ("'", '"')
    if known and known.takes_text and raw not in ("", "null", "~") and not raw.startswith(starts):
        return raw
    return read_value(raw)


def _alike(first: Override, second: Override) -> bool:
    # `.nan` is typed twice like any other value, and is not equal to itself.
    return first.raw == second.raw or bool(first.value == second.value)


def _malformed(word: str, why: str, instead: str) -> Problem:
    return Problem(
        key="", where=COMMAND_LINE, found=f"found `{word}`: {why}", allowed="key=value", hint=f"e.g. {instead}"
    )


def _given_twice(first: Override, second: Override) -> Problem:
    return Problem(
        key=second.key,
        where=COMMAND_LINE,
        found=f"given twice: {first.raw} and {second.raw}",
        hint="keep one of the two",
    )
