"""What a file from outside may cost: beyond these it is refused with one message, in bounded time and memory.

A recipe or a model folder is often somebody else's. Nothing below is near what honest files need.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from pathlib import Path
from stat import S_ISREG
from typing import Any

TEXT_BYTES = 2**17
"""Of a recipe, a hardware profile, a DeepSpeed JSON: the shipped ones have 2 KiB, and PyYAML reads 100 KiB a second."""
WORD_LENGTH = 10_000
"""Characters of one `key=value` of the command line."""
CONFIG_BYTES = 16 * 2**20
"""Of a model's config.json."""
INDEX_BYTES = 64 * 2**20
"""Of the index of a model's weight files."""
HEADER_BYTES = 32 * 2**20
"""Of a safetensors header; one of 100,000 tensors has 12 MiB."""
DEEPEST = 30
"""Levels of sections and lists inside each other; a recipe has three."""
MOST_VALUES = 20_000
"""Values of a YAML document when every alias is written out: a few lines of aliases can stand for 10^9."""


_FARTHEST_IN = 200
_TOO_FAR_IN = re.compile(rf"^ {{{_FARTHEST_IN + 1}}}", re.MULTILINE)


class TooLarge(ValueError):
    """A file or document beyond its limit; the text says by how much."""


def read_text(path: Path, *, most: int, encoding: str = "utf-8") -> str:
    """The text of a file; OSError and UnicodeDecodeError as of Path.read_text, TooLarge beyond `most` bytes.

    A pipe or a device, which may never end, is TooLarge as well.
    """
    with path.open("rb") as file:
        if not S_ISREG(path.stat().st_mode):
            raise TooLarge("it is no file but a pipe or a device")
        content = file.read(most + 1)
    if len(content) > most:
        raise TooLarge(f"it has {path.stat().st_size:,} bytes, and {most:,} are read at most")
    return content.decode(encoding)


def check_yaml_text(text: str) -> None:
    """TooLarge: a text that PyYAML would take seconds to refuse, by its length or by its indentation."""
    if len(text) > TEXT_BYTES:
        raise TooLarge(f"{len(text):,} characters, and {TEXT_BYTES:,} are read at most")
    if _TOO_FAR_IN.search(text):
        raise TooLarge(f"a line that begins with more than {_FARTHEST_IN} spaces")


def check_tree(root: Any, inside: Callable[[Any], Iterable[Any]], *, most: int = MOST_VALUES) -> None:
    """TooLarge: a document nested deeper than `DEEPEST`, in itself for example, or of more than `most` values.

    `inside` gives what a value holds; what is reached twice counts twice. A long text counts as a value per 100
    characters.
    """
    waiting = [(root, 0)]
    seen = 0
    while waiting:
        value, depth = waiting.pop()
        seen += 1 + _characters(value) // 100
        if depth > DEEPEST:
            raise TooLarge(f"sections or lists inside each other more than {DEEPEST} deep")
        if seen > most:
            raise TooLarge(f"more than {most:,} values, every alias written out")
        waiting.extend((inner, depth + 1) for inner in inside(value))


def of_values(value: Any) -> Iterable[Any]:
    """What a plain value holds, for `check_tree`."""
    if isinstance(value, dict):
        return value.values()
    return value if isinstance(value, (list, tuple)) else ()


def of_yaml_node(node: Any) -> Iterable[Any]:
    """What a node of PyYAML holds, for `check_tree`: pairs of a mapping, elements of a list."""
    inner = node.value
    if isinstance(inner, str):
        return ()
    return (part for entry in inner for part in (entry if isinstance(entry, tuple) else (entry,)))


def _characters(value: Any) -> int:
    text = value if isinstance(value, str) else getattr(value, "value", None)
    return len(text) if isinstance(text, str) else 0
