from __future__ import annotations

import io
import time
from dataclasses import replace

import pytest
from rich.console import Console

from tunekit.launcher.state import RunStatus
from tunekit.render.runs_text import news_text, print_runs, step_text, when_text

DONE = RunStatus(name="a", path="/runs/a", state="done", attempt=2, step=60, max_steps=60, loss=1.25, changed=1.0)
NEW = RunStatus(name="b", path="/runs/b", state="preparing", attempt=1)


def text_of(show, *values, **named):
    output = io.StringIO()
    show(Console(file=output, width=120), *values, **named)
    return output.getvalue()


def test_runs_are_a_table():
    text = text_of(print_runs, [DONE, NEW], folder="runs")
    assert all(part in text for part in ("a ", "done", "60/60", "1.2500", "b ", "preparing"))


def test_on_a_narrow_terminal_the_first_columns_stay_whole():
    output = io.StringIO()
    print_runs(Console(file=output, width=40), [DONE, NEW], folder="runs")
    text = output.getvalue()
    assert all(part in text for part in ("done", "60/60", "1.2500", "preparing"))
    assert "attempt" not in text


@pytest.mark.parametrize(("width", "columns"), [(80, 5), (62, 4), (52, 3), (45, 2)])
def test_a_name_is_never_broken_and_columns_give_way_from_the_least_needed(width, columns):
    output = io.StringIO()
    long = replace(DONE, name="quickstart-20261122-193509", state="preparing", changed=time.time() - 4000)
    print_runs(Console(file=output, width=width), [long], folder="runs")
    heading, _, line = [line.strip() for line in output.getvalue().splitlines() if line.strip()]
    assert line.startswith("quickstart-20261122-193509 ")
    assert line.split()[1] == "preparing"
    assert heading.split() == ["run", "state", "step", "loss", "changed"][:columns]


def test_a_name_stays_whole_where_nothing_else_fits():
    output = io.StringIO()
    print_runs(Console(file=output, width=20), [replace(DONE, name="quickstart-20261122-193509")], folder="runs")
    assert "quickstart-20261122-193509" in output.getvalue()


def test_no_runs():
    assert "tunekit launch RECIPE" in text_of(print_runs, [], folder="runs")


def test_words():
    assert (step_text(DONE), step_text(NEW)) == ("60/60", "")
    assert when_text(0.0) == ""
    assert when_text(1000.0, now=1090.0) == "1 min 30 s ago"


def test_a_run_that_goes_on_without_a_step_shows_since_when():
    now = time.time()
    silent = replace(DONE, state="running", changed=now - 3, stepped=now - 70)
    assert news_text(silent) == "no step for 1 min 10 s"
    assert news_text(replace(silent, stepped=now - 20)) == "3 s ago"
    assert news_text(replace(silent, state="done")) == "3 s ago"


def test_a_run_that_nobody_watches_says_so_in_the_table():
    alone = replace(NEW, state="running", unwatched_since=time.time() - 90)
    assert "nobody watches" in text_of(print_runs, [alone], folder="runs")
    assert "nobody watches" not in text_of(print_runs, [NEW, DONE], folder="runs")
