from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.plans import make_plan
from tests.runs import steps, write_checkpoint, write_json, write_lines, write_run
from tunekit.backends.processes import record_process
from tunekit.cli.runs import list_runs, print_logs, show_status, stop_run
from tunekit.errors import UsageError


@pytest.fixture
def run_dir(tmp_path, monkeypatch):
    """A run that failed at step 2 with one checkpoint."""
    monkeypatch.chdir(tmp_path)
    run_dir = write_run(tmp_path / "runs" / "a", make_plan())
    write_lines(run_dir.metrics, steps(3.0, 2.5))
    write_checkpoint(run_dir.checkpoints, 2)
    write_json(run_dir.result, {"state": "failed", "cause": ["ValueError: no"], "reading": "exit code 1", "advice": ""})
    run_dir.rank_log(0).write_text("step 1\nstep 2\n")
    return run_dir


@pytest.fixture
def living(run_dir):
    """A process of the run that ends when a line comes in."""
    process = subprocess.Popen(
        [sys.executable, "-c", "input()"],
        stdin=subprocess.PIPE,
        env={**os.environ, "TUNEKIT_RUN": str(run_dir.path)},
        start_new_session=True,
    )
    record_process(run_dir, process.pid, 1)
    yield process
    process.kill()
    process.wait()
    process.stdin.close()


def test_runs_are_listed_newest_first(run_dir, capsys):
    newer = write_run(Path("runs/b").absolute(), make_plan())
    os.utime(newer.launch, (9e9, 9e9))
    list_runs(Path("runs"), json=False)
    printed = capsys.readouterr().out
    assert printed.index(" b ") < printed.index(" a ")
    list_runs(Path("runs"), json=True)
    listed = json.loads(capsys.readouterr().out)
    assert [(entry["name"], entry["state"]) for entry in listed] == [("b", "lost"), ("a", "failed")]


def test_no_runs(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    list_runs(Path("runs"), json=False)
    assert "tunekit launch RECIPE" in capsys.readouterr().out


def test_a_folder_that_is_not_there_is_a_fault(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UsageError, match="nope is not a folder"):
        list_runs(Path("nope"), json=False)
    (tmp_path / "file").touch()
    with pytest.raises(UsageError, match="file is not a folder"):
        list_runs(Path("file"), json=True)


def test_status(run_dir, capsys):
    show_status("a", json=False)
    printed = capsys.readouterr().out
    for part in ("a: failed", "2/10", "2.5000", "checkpoint-2       complete", "ValueError: no", "exit code 1"):
        assert part in printed
    show_status("runs/a", json=True)
    tree = json.loads(capsys.readouterr().out)
    assert (tree["state"], tree["checkpoints"][0]["fault"]) == ("failed", None)


def test_logs(run_dir, capsys):
    print_logs("a", follow=False, rank=0)
    assert capsys.readouterr().out == "step 1\nstep 2\n"
    with pytest.raises(UsageError, match="no log of rank 3; there are logs of rank 0"):
        print_logs("a", follow=False, rank=3)


def test_logs_are_printed_as_they_are_also_between_two_pieces(run_dir, capfdbinary, monkeypatch):
    monkeypatch.setattr("tunekit.cli.runs.PIECE_BYTES", 3)
    text = "grün\r\nund mehr\n".encode() + b"\xff"
    run_dir.rank_log(0).write_bytes(text)
    print_logs("a", follow=False, rank=0)
    assert capfdbinary.readouterr().out == text


def test_logs_before_any_rank(tmp_path):
    run_dir = write_run(tmp_path / "new", make_plan())
    run_dir.prepare_log.write_text("building\n")
    with pytest.raises(UsageError, match="prepare.log"):
        print_logs(str(run_dir.path), follow=False, rank=0)


def test_logs_are_followed_to_the_end(run_dir, living, capsys, monkeypatch):
    def meanwhile(seconds):
        with run_dir.rank_log(0).open("a") as log:
            log.write("step 3\n")
        living.communicate(b"\n")

    monkeypatch.setattr("tunekit.cli.runs.time.sleep", meanwhile)
    print_logs("a", follow=True, rank=0)
    assert capsys.readouterr().out == "step 1\nstep 2\nstep 3\n"


def test_stop(run_dir, living, capsys):
    stop_run("a")
    assert living.wait(timeout=10) != 0
    assert "newest checkpoint is of step 2" in capsys.readouterr().out
    with pytest.raises(UsageError, match="does not run: it is stopped"):
        stop_run("a")
