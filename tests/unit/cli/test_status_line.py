from __future__ import annotations

import io

from rich.console import Console

from tunekit.cli.status_line import progress


def said(*texts: str, quiet: bool = False) -> list[str]:
    stream = io.StringIO()
    with progress(Console(file=stream, width=80), quiet=quiet) as report:
        for text in texts:
            report(text)
    return stream.getvalue().splitlines()


def test_each_thing_is_said_once_where_there_is_no_terminal():
    assert said("looking", "looking", "trying [1]") == ["looking", "trying [1]"]


def test_nothing_is_said_into_json():
    assert said("looking", quiet=True) == []


def test_a_terminal_shows_one_line_that_moves():
    stream = io.StringIO()
    with progress(Console(file=stream, width=80, force_terminal=True), quiet=False) as report:
        report("looking")
    assert "looking" in stream.getvalue()
    assert stream.getvalue().endswith("\x1b[1A\x1b[2K")  # the line is taken away again
