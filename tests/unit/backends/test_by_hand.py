from __future__ import annotations

import json
import subprocess
import sys

import pytest

from tests.plans import make_caller, make_plan
from tests.runs import steps, write_checkpoint, write_json, write_lines, write_run
from tests.unit.backends.test_output import process_of
from tunekit.backends.by_hand import by_hand_fault, main
from tunekit.launcher.build import guard_argv, launch_script


@pytest.fixture
def run_dir(tmp_path):
    return write_run(tmp_path / "it's a run", make_plan())


@pytest.fixture
def script(run_dir):
    """launch.sh, whose command leaves a file instead of training."""
    text = launch_script(
        ("/usr/bin/touch", str(run_dir.path / "trained")),
        {},
        ("RANK",),
        str(run_dir.path),
        guard=guard_argv(run_dir, make_caller(executable=sys.executable)),
    )
    run_dir.launch_script.write_text(text)

    def start():
        done = subprocess.run(["bash", run_dir.launch_script], capture_output=True, text=True, check=False)
        return done.returncode, done.stderr, (run_dir.path / "trained").exists()

    return start


def test_before_the_first_step_the_ranks_are_started(run_dir, script):
    run_dir.stop_request.touch()
    write_json(run_dir.failure, {"message": "of before"})
    assert script() == (0, "", True)
    assert not run_dir.stop_request.exists(), "the ranks would stop at once"
    assert not run_dir.failure.exists(), "the next failure would not be written"
    assert json.loads((run_dir.path / "failure.before.json").read_text()) == {"message": "of before"}


def test_a_finished_run_is_not_trained_over(run_dir, script):
    write_lines(run_dir.metrics, steps(3.0, 2.5))
    write_json(run_dir.success, {"attempt": 1})
    before = sorted(run_dir.path.iterdir())
    code, message, trained = script()
    assert (code, trained) == (2, False)
    assert "holds a run (done, step 2 of 10), and launch.sh trains over nothing: to run it anew type" in message
    assert "recipe.resolved.yaml" in message
    assert "resume" not in message
    assert sorted(run_dir.path.iterdir()) == before


def test_a_run_with_a_checkpoint_is_resumed_instead(run_dir):
    write_lines(run_dir.metrics, steps(3.0, 2.5))
    write_checkpoint(run_dir.checkpoints, 2)
    assert "to go on with it type `tunekit resume" in by_hand_fault(run_dir)


def test_a_run_that_goes_on_is_left_alone(run_dir, script):
    with process_of(run_dir):
        code, message, trained = script()
    assert (code, trained) == (2, False)
    assert "holds a run that is going on" in message
    assert message.endswith("Nothing was started.\n")


def test_the_guard_says_it_on_standard_error(run_dir, capsys):
    write_json(run_dir.success, {"attempt": 1})
    assert main([str(run_dir.path)]) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.endswith("Nothing was started.\n")
