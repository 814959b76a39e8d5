from __future__ import annotations

import io
from pathlib import Path

from rich.console import Console

from tunekit.launcher.checkpoints import Checkpoint
from tunekit.launcher.state import RunStatus
from tunekit.render.runs_text import print_runs, print_status, status_json, step_text, when_text

DONE = RunStatus(name="a", path="/runs/a", state="done", attempt=2, step=60, max_steps=60, loss=1.25, changed=1.0)
NEW = RunStatus(name="b", path="/runs/b", state="preparing", attempt=1)
CHECKPOINTS = (
    Checkpoint(path=Path("/runs/a/checkpoints/checkpoint-40"), step=40, fault="latest is missing"),
    Checkpoint(path=Path("/runs/a/checkpoints/checkpoint-20"), step=20, fault=None),
)


def text_of(show, *values, **named):
    output = io.StringIO()
    show(Console(file=output, width=120), *values, **named)
    return output.getvalue()


def test_runs_are_a_table():
    text = text_of(print_runs, [DONE, NEW], folder="runs")
    assert all(part in text for part in ("a ", "done", "60/60", "1.2500", "b ", "preparing"))


def test_no_runs():
    assert "tunekit launch RECIPE" in text_of(print_runs, [], folder="runs")


def test_one_run():
    text = text_of(print_status, DONE, checkpoints=CHECKPOINTS, lines=["How it ended:", "  well"])
    assert text.startswith("a: done\n")
    assert "checkpoint-40      latest is missing" in text
    assert "checkpoint-20      complete" in text
    assert text.endswith("How it ended:\n  well\n")
    assert "loss" not in text_of(print_status, NEW, checkpoints=())


def test_json():
    tree = status_json(DONE, CHECKPOINTS)
    assert (tree["state"], tree["step"]) == ("done", 60)
    assert tree["checkpoints"][1] == {"path": "/runs/a/checkpoints/checkpoint-20", "step": 20, "fault": None}


def test_words():
    assert (step_text(DONE), step_text(NEW)) == ("60/60", "")
    assert when_text(0.0) == ""
    assert when_text(1000.0, now=1090.0) == "1 min 30 s ago"
