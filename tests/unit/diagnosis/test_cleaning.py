from __future__ import annotations

import pytest

from tunekit.diagnosis.cleaning import as_written, plain


@pytest.mark.parametrize(
    ("text", "seen"),
    [
        ("\x1b[31mred\x1b[0m and \x1b[1;38;5;9mbold\x1b[m", "red and bold"),
        ("\x1b[?25l\x1b[2K\x1b[1A100%\r\n\tnext", "100%\r\n\tnext"),
        ("\x1b]0;a title\x07text\x1b]8;;https://x\x1b\\link", "textlink"),
        ("\x1b(Btext\x1b=", "text"),
        ("\x1b]0;never closed\nnext", "\nnext"),
        ("a\x07b\x08c\x00d\x9be\x7f\x1b", "abcde"),
        ("Loading 3/3 ██ ü 中", "Loading 3/3 ██ ü 中"),
    ],
)
def test_what_a_terminal_obeys_is_taken_out(text, seen):
    assert plain(text) == seen


@pytest.mark.parametrize(
    "prefix",
    [
        "Nov 23 08:00:01 box python[123]: ",
        "Nov  3 08:00:01.123456 box.lan python3.11[123]: ",
        "Nov 23 08:00:01 box kernel: ",
        "2026-11-23T08:00:01+0000 box train@1.service[7]: ",
        "2026-11-23T08:00:01.123456+00:00 box python[123]: ",
        "2026-11-23T08:00:01.123456789Z ",
        "2026-11-23T08:00:01.123456789+02:00 ",
    ],
)
def test_the_times_of_who_collected_the_output_are_taken_off(prefix):
    assert as_written(f'{prefix}  File "x"') == '  File "x"'
    assert as_written(prefix.rstrip()) == ""


@pytest.mark.parametrize(
    "line",
    [
        "",
        "[2026-11-22 10:00:01,123] [INFO] [runner.py:630:main] cmd",
        "W1122 10:00:00.100000 4200 torch/distributed/run.py:792] Setting",
        "2026-11-22 10:10:02 step 4",
        "2026-11-22T10:10:02 step 4",
        "Nov 23 08:00:01 was the day",
        "ValueError: Nov 23 08:00:01 box python[123]: no",
    ],
)
def test_other_lines_stay(line):
    assert as_written(line) == line
