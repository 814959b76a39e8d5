from __future__ import annotations

from tests.failing_logs import DESTRUCTOR, LOGGING_ERROR
from tests.runs import TRACEBACK
from tunekit.diagnosis.tracebacks import first_traceback, last_lines, native_crash, tracebacks


def test_the_first_traceback_is_the_cause():
    noise = "Exception ignored in: <function DeepSpeedCPUAdam.__del__>\n"
    later = TRACEBACK.replace("ValueError: the loss is not a number", "RuntimeError: peer closed")
    text = f"step 1\n{TRACEBACK}{noise}{later}"
    assert first_traceback(text).splitlines()[-1] == "ValueError: the loss is not a number"
    assert first_traceback(text).startswith("Traceback")
    assert first_traceback("all went well") is None
    assert first_traceback('Traceback (most recent call last):\n  File "x"').endswith('File "x"')


def test_a_destructors_is_passed_over():
    assert first_traceback(DESTRUCTOR) is None
    assert first_traceback(DESTRUCTOR + TRACEBACK).endswith("ValueError: the loss is not a number")
    assert [each.ignored for each in tracebacks(DESTRUCTOR + TRACEBACK + DESTRUCTOR)] == [True, False, True]


def test_a_loggers_is_passed_over_with_what_was_raised_from_it():
    chained = f"\nDuring handling of the above exception, another exception occurred:\n\n{TRACEBACK}"
    text = LOGGING_ERROR + TRACEBACK + chained
    assert [each.ignored for each in tracebacks(text)] == [True, False, False]
    within = LOGGING_ERROR.replace("Call stack:", f"{chained}Call stack:")
    assert [each.ignored for each in tracebacks(within + TRACEBACK)] == [True, True, False]
    assert first_traceback(LOGGING_ERROR) is None


def test_places_are_those_in_the_text():
    text = f"step 1\n{TRACEBACK}step 2\n{TRACEBACK}"
    for each in tracebacks(text):
        assert text[each.place :].startswith(each.text)


def test_two_ranks_that_write_at_once_are_one_traceback():
    both = (
        "Traceback (most recent call last):\nTraceback (most recent call last):\n  File a\n  File a\nValueError: no\n"
    )
    (found,) = tracebacks(both)
    assert found.text.endswith("ValueError: no")


def test_a_crash_in_native_code_is_a_cause_too():
    text = "step 3\nFatal Python error: Segmentation fault\n\nCurrent thread 0x1 (most recent call first):\n  File x\n"
    assert first_traceback(text).splitlines()[0] == "Fatal Python error: Segmentation fault"
    assert "File x" in first_traceback(text)
    assert native_crash("step 3") is None


def test_lines_that_only_point_are_left_out():
    assert last_lines("Traceback:\n  x = f(y)\n      ^^^~~~\nValueError: no\n") == (
        "Traceback:",
        "  x = f(y)",
        "ValueError: no",
    )


def test_colours_are_no_part_of_a_traceback():
    red = "".join(f"\x1b[31m{line}\x1b[0m\n" for line in TRACEBACK.splitlines())
    assert first_traceback(red) == TRACEBACK.rstrip()
    assert last_lines(red) == tuple(TRACEBACK.splitlines())
