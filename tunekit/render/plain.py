"""Printing that leaves nothing behind the text: rich fills lines with spaces, which files and pipes should not get."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console


@contextmanager
def without_trailing_spaces(console: Console) -> Iterator[None]:
    """What is printed in here ends at its last letter, unless it goes to a terminal."""
    if console.is_terminal:
        yield
        return
    with console.capture() as capture:
        yield
    console.file.write("\n".join(line.rstrip() for line in capture.get().split("\n")))
