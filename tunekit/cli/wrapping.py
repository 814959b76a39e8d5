"""Messages in the width of the terminal; in files and pipes they stay as they are, a line for each fault."""

from __future__ import annotations

import os
import textwrap
from typing import TextIO

INDENT = "    "


def for_stream(text: str, stream: TextIO | None) -> str:
    """The text as it is best printed there."""
    return wrapped(text, _columns(stream)) if stream is not None and stream.isatty() else text


def wrapped(text: str, columns: int) -> str:
    """Every line broken between words, its rest indented; what has no space in it, such as a path, stays whole."""
    writer = textwrap.TextWrapper(
        width=max(columns, 40), subsequent_indent=INDENT, break_long_words=False, break_on_hyphens=False
    )
    return "\n".join(writer.fill(line) for line in text.split("\n"))


def _columns(stream: TextIO) -> int:
    try:
        return os.get_terminal_size(stream.fileno()).columns
    except (OSError, ValueError):
        return 80
