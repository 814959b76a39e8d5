from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

import tunekit
from tunekit import run as module
from tunekit.launcher.outcome import RunResult

CPU = {"model": {"path": "HuggingFaceTB/SmolLM2-135M"}, "data": {"path": "rows.jsonl"}, "output": {"dir": "runs/x"}}


class FakeRun:
    """What `start` gives back."""

    def __init__(self):
        self.shown = 0
        self.result = RunResult(state="done", attempt=1, exit_code=0)

    def show_result(self, console):
        self.shown += 1


@pytest.fixture
def started(monkeypatch, tmp_path):
    """Orders that were given, and with what; nothing is started."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "rows.jsonl").write_text('{"text": "words"}\n')
    calls = []

    def start(order, *, wait, console, on_oom):
        calls.append((order, wait, console))
        return FakeRun()

    monkeypatch.setattr(module, "start", start)
    return calls


def test_launch_plans_starts_watches_and_shows(started):
    run = tunekit.launch(CPU, ["train.max_steps=3"], on="dual_rtx4090")
    order, wait, console = started[0]
    assert run.shown == 1
    assert wait
    assert order.plan.recipe.train.max_steps == 3
    assert order.plan.hardware.name == "dual_rtx4090"
    assert order.run_dir.path == Path.cwd() / "runs" / "x"
    assert "train.max_steps=3" in order.recipe_text
    assert not console.quiet


def test_launch_without_waiting_shows_no_result(started):
    assert tunekit.launch(CPU, on="dual_rtx4090", wait=False).shown == 0
    assert started[0][1] is False


def test_launch_can_be_silent(started):
    tunekit.launch(CPU, on="dual_rtx4090", quiet=True)
    assert started[0][2].quiet


def test_a_rejected_plan_is_raised(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(tunekit.DoesNotFit) as caught:
        tunekit.launch("codellama34b_full")
    assert caught.value.plan.verdict == "rejected"
    assert list(tmp_path.iterdir()) == []


def test_planning_loads_nothing_of_running():
    code = (
        "import sys, tunekit; tunekit.plan('codellama34b_qlora'); "
        "heavy = {'psutil', 'rich', 'torch', 'tunekit.run'} & set(sys.modules); assert not heavy, heavy"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
