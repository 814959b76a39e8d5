from __future__ import annotations

import os
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.plans import make_plan
from tests.runs import steps, write_checkpoint, write_json, write_lines, write_run
from tunekit.backends.output import command_anew, free_name, goes_on, nearest_existing, output_fault, write_fault
from tunekit.backends.processes import record_process
from tunekit.launcher.run_dir import RunDir


@pytest.fixture
def run_dir(tmp_path, monkeypatch):
    """A run that trained two steps, seen from the folder above it."""
    monkeypatch.chdir(tmp_path)
    run_dir = write_run(tmp_path / "runs" / "a", make_plan())
    write_lines(run_dir.metrics, steps(3.0, 2.5))
    return run_dir


def test_a_new_folder_can_be_used(tmp_path):
    assert output_fault(RunDir(tmp_path / "a" / "b")) is None
    (tmp_path / "empty").mkdir()
    assert output_fault(RunDir(tmp_path / "empty")) is None
    assert sorted(path.name for path in tmp_path.iterdir()) == ["empty"], "looking leaves nothing behind"


def test_a_folder_that_holds_a_run_is_never_overwritten(run_dir, tmp_path):
    assert output_fault(run_dir) == (
        f"output.dir {run_dir.path} already holds a run (lost, step 2 of 10, no checkpoint to go on from); "
        "nothing in it is overwritten: for a new run set output.dir=runs/a-2."
    )
    (tmp_path / "runs" / "a-2").mkdir()
    assert output_fault(run_dir).endswith("output.dir=runs/a-3.")
    write_json(run_dir.success, {"attempt": 1})
    assert "(done, step 2 of 10)" in output_fault(run_dir)
    assert output_fault(run_dir, resumes=True) is None


def test_going_on_is_offered_where_it_is_possible(run_dir):
    write_checkpoint(run_dir.checkpoints, 2)
    fault = output_fault(run_dir)
    assert "(lost, step 2 of 10); " in fault
    assert f"to go on with it type `tunekit resume {run_dir.path}`; for a new run set" in fault
    write_json(run_dir.success, {"attempt": 1})
    assert "resume" not in output_fault(run_dir)


@pytest.mark.parametrize("left", ["logs/launcher.log", "events.jsonl", "attempt_1/logs/launcher.log", "checkpoints/x"])
def test_a_run_that_ended_before_its_first_step_is_not_mixed_with_another(left, tmp_path):
    run_dir = write_run(tmp_path / "run", make_plan())
    (run_dir.path / left).parent.mkdir(parents=True, exist_ok=True)
    (run_dir.path / left).touch()
    assert "already holds a run (lost, no checkpoint to go on from)" in output_fault(run_dir)


def test_a_preparation_that_never_started_a_rank_does_not_block_the_folder(tmp_path):
    run_dir = write_run(tmp_path / "run", make_plan())
    run_dir.prepare_log.touch()
    assert output_fault(run_dir) is None


def test_a_folder_of_something_else(tmp_path):
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes" / "todo.txt").touch()
    assert "is not empty and is not a run" in output_fault(RunDir(tmp_path / "notes"))
    assert "is a file" in output_fault(RunDir(tmp_path / "notes" / "todo.txt"))
    assert f"{tmp_path}/notes/todo.txt is a file; set output.dir" in output_fault(
        RunDir(tmp_path / "notes" / "todo.txt" / "run")
    )


def test_a_link_to_nothing_and_a_name_that_is_too_long(tmp_path):
    (tmp_path / "link").symlink_to(tmp_path / "gone")
    assert f"is a link to {tmp_path}/gone, which is not there" in output_fault(RunDir(tmp_path / "link"))
    assert "File name too long; set output.dir" in output_fault(RunDir(tmp_path / ("x" * 300)))


@contextmanager
def process_of(run_dir):
    process = subprocess.Popen(
        [sys.executable, "-c", "print(flush=True); input()"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env={**os.environ, "TUNEKIT_RUN": str(run_dir.path)},
        start_new_session=True,
    )
    try:
        assert process.stdout is not None
        process.stdout.readline()
        yield process
    finally:
        process.communicate(b"\n")


def test_a_run_that_goes_on(tmp_path):
    run_dir = write_run(tmp_path / "run", make_plan())
    with process_of(run_dir) as process:
        record_process(run_dir, process.pid, 1)
        assert f"is going on; `tunekit logs -f {run_dir.path}` shows it" in output_fault(run_dir, resumes=True)
    assert output_fault(run_dir, resumes=True) is None


def test_a_run_that_was_started_by_hand_is_seen_by_its_mark(tmp_path):
    run_dir, other = (write_run(tmp_path / name, make_plan()) for name in ("run", "other"))
    with process_of(run_dir):
        assert goes_on(run_dir)
        assert not goes_on(other)
        assert "is going on, started by hand; Ctrl-C in its terminal ends it." in output_fault(run_dir)
    assert not goes_on(run_dir)


def test_a_folder_that_cannot_be_written():
    fault = output_fault(RunDir(Path("/proc/runs/x")))
    assert fault.startswith("output.dir /proc/runs/x: /proc cannot be written (")
    assert fault.endswith("set output.dir to a folder of your own.")


def test_a_path_is_traced_to_what_is_there(tmp_path):
    assert nearest_existing(tmp_path / "a" / "b") == tmp_path
    assert write_fault(tmp_path / "a") is None
    assert list(tmp_path.iterdir()) == []


def test_the_same_recipe_into_another_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    run_dir = write_run(tmp_path / "my runs" / "a", make_plan())
    assert command_anew(run_dir) == (
        f"tunekit launch '{tmp_path}/my runs/a/recipe.resolved.yaml' 'output.dir=my runs/a-2'"
    )
    write_json(run_dir.plan, {"trust": "model"})
    assert command_anew(run_dir).endswith(" --trust model")
    (tmp_path / "my runs" / "a-2").symlink_to("nowhere")
    assert free_name(run_dir.path) == Path("my runs/a-3")
