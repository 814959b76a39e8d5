from __future__ import annotations

import io
import os
import pty

from tunekit.cli.wrapping import INDENT, for_stream, wrapped

LONG = "my.yaml:3: train.max_steps: found 'many'; a whole number, 1 or more; write e.g. max_steps: 100 or leave it out"


def test_lines_are_broken_between_words_and_their_rest_is_indented() -> None:
    text = wrapped(f"{LONG}\nshort", 60)
    first, second, *_, last = text.splitlines()
    assert all(len(line) <= 60 for line in text.splitlines())
    assert second.startswith(INDENT)
    assert not first.startswith(" ")
    assert last == "short"
    assert " ".join(text.split()) == " ".join(f"{LONG} short".split())


def test_a_path_is_never_broken() -> None:
    path = "/a/very-long/path/" + "x" * 90
    assert path in wrapped(f"there is no file {path}.", 50)


def test_files_and_pipes_get_a_line_for_each_fault() -> None:
    assert for_stream(LONG, io.StringIO()) == LONG


def test_a_terminal_gets_its_own_width() -> None:
    primary, secondary = pty.openpty()
    with os.fdopen(secondary, "w") as stream:
        assert "\n" in for_stream(LONG * 3, stream)
    os.close(primary)
