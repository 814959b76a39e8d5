from __future__ import annotations

import time

import pytest

from tests.failing_logs import DESTRUCTOR, LOGGING_ERROR, torchrun_log
from tests.runs import TRACEBACK
from tunekit.diagnosis.hearing import MOST_SAID, hear
from tunekit.diagnosis.reading import Log

STEP = "{'loss': 1.4102, 'grad_norm': 0.61, 'learning_rate': 9.9e-05, 'epoch': 0.01}\n"
TIMES = 8_000


def heard(text, name="train.log"):
    return hear([Log(name=name, text=text)])


def ranked(text):
    return "".join(f"[rank0]: {line}\n" for line in text.splitlines())


def test_a_traceback_knows_whose_it_is_and_where():
    (said,) = heard(f"step 1\n2026-11-22 10:10:02 step 2\n{ranked(TRACEBACK)}[rank0]: more\n").said
    assert (said.rank, said.line, said.index, said.before) == (0, 2, 0, "")
    assert said.cause.lines[-1] == "ValueError: the loss is not a number"
    assert said.with_what_follows.endswith("number\nmore")


def test_what_launchers_and_destructors_say_is_no_traceback_of_a_rank():
    ranks = {said.rank for said in heard(DESTRUCTOR + torchrun_log(TRACEBACK)).said}
    assert ranks == {0, 1}


def test_tracebacks_that_ended_nothing_are_not_believed():
    found = heard(f"{STEP}{LOGGING_ERROR}{STEP}{DESTRUCTOR}{TRACEBACK}")
    assert found.believed.count("Traceback") == 1
    assert found.believed.count(STEP) == 2
    assert "TypeError" in found.whole
    assert "TypeError" not in found.believed
    assert heard(STEP).believed == STEP


def test_of_very_many_tracebacks_the_first_and_the_last_are_looked_at():
    number = 5 * MOST_SAID
    text = "".join(TRACEBACK.replace("the loss", f"loss {index}") for index in range(number))
    found = heard(text)
    last = [said.cause.lines[-1] for said in found.said]
    assert (len(last), found.left_out) == (2 * MOST_SAID, 3 * MOST_SAID)
    assert last[0].startswith("ValueError: loss 0 ")
    assert last[MOST_SAID].startswith(f"ValueError: loss {number - MOST_SAID} ")
    assert last[-1].startswith(f"ValueError: loss {number - 1} ")


@pytest.mark.parametrize(
    "text",
    [
        ranked(TRACEBACK) * TIMES,
        (STEP + TRACEBACK) * TIMES,
        ("Exception ignored in: <function f>\n" + TRACEBACK + STEP) * TIMES,
        "Traceback (most recent call last):\n" * 10 * TIMES,
    ],
    ids=["ranks", "steps", "destructors", "heads"],
)
def test_a_log_is_read_in_a_time_that_grows_with_its_length_and_not_with_its_square(text):
    began = time.process_time()
    heard(text)
    assert time.process_time() - began < 15, "half a minute and more where every traceback reads the log again"
