from __future__ import annotations

import io

from rich.console import Console

from tunekit.render.plain import without_trailing_spaces


def printed(*, terminal: bool) -> str:
    file = io.StringIO()
    console = Console(file=file, width=20, force_terminal=terminal, color_system=None)
    with without_trailing_spaces(console):
        console.print("word     ")
    return file.getvalue()


def test_a_file_gets_no_spaces_at_the_ends_of_lines() -> None:
    assert printed(terminal=False) == "word\n"


def test_a_terminal_gets_what_was_printed() -> None:
    assert printed(terminal=True) == "word     \n"
