from __future__ import annotations

import pytest

from tunekit.launcher.exit_codes import STOPPED, read_exit_code, signal_of, signal_text


@pytest.mark.parametrize(
    ("code", "signal"),
    [(-9, 9), (247, 9), (137, 9), (249, 7), (250, 6), (245, 11), (252, 4), (241, 15), (143, 15), (0, None), (1, None),
     (2, None), (STOPPED, None), (200, None)],
)  # fmt: skip
def test_signals_in_codes(code, signal):
    assert signal_of(code) == signal


def test_reading_names_the_likely_cause():
    assert read_exit_code(247).text == (
        "exit code 247 = signal 9 (SIGKILL): ended from outside, as by the out-of-memory killer or `kill -9`"
    )
    assert "/dev/shm" in read_exit_code(249).text
    assert "another processor" in read_exit_code(252).text


def test_signals_without_a_name_have_their_number():
    assert signal_text(35) == "signal 35: ended by a signal"


def test_zero_is_no_proof():
    assert "marker is missing" in read_exit_code(0).text
    assert read_exit_code(1).text == "exit code 1: a Python error"
    assert read_exit_code(77).text == "exit code 77"
