"""Real processes are asked what they do: by py-spy where it is there, by the signal that a rank answers."""

from __future__ import annotations

import json
import os
import signal
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from tests.waiting import until
from tunekit.backends import stacks
from tunekit.backends.processes import state_of
from tunekit.backends.stacks import ask_from_outside, ask_itself, dump_stacks
from tunekit.launcher.run_dir import RunDir

RANK = """
import sys, time
from pathlib import Path
from tunekit.worker.signs import Signs

def stuck_here():
    print("ready", flush=True)
    while True:
        time.sleep(60)

signs = Signs(Path(sys.argv[1]))
stuck_here()
"""


@pytest.fixture
def run_dir(tmp_path):
    return RunDir(tmp_path)


@pytest.fixture
def ranks(run_dir):
    """Two processes that hang as ranks do, by rank."""
    started = {}
    for rank in (0, 1):
        argv = [sys.executable, "-c", RANK, str(run_dir.rank_stacks(rank))]
        started[rank] = subprocess.Popen(argv, stdout=subprocess.PIPE, text=True)
    for process in started.values():
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    yield started
    for process in started.values():
        process.kill()
        process.communicate()


@pytest.fixture
def without_py_spy(monkeypatch):
    monkeypatch.setattr(stacks, "_py_spy", lambda: None)


def test_a_rank_answers_the_signal_with_its_stack_and_goes_on(run_dir, ranks):
    pid = ranks[0].pid
    frames = ask_itself(run_dir.rank_stacks(0), pid)
    assert [frame.name for frame in frames] == ["stuck_here", "<module>"]
    assert "Current thread" in run_dir.rank_stacks(0).read_text()
    assert len(ask_itself(run_dir.rank_stacks(0), pid)) == 2
    assert ranks[0].poll() is None


def test_all_ranks_without_py_spy(run_dir, ranks, without_py_spy):
    os.kill(ranks[1].pid, signal.SIGSTOP)
    until(lambda: state_of(ranks[1].pid) == "T")
    first, second = dump_stacks(run_dir, {1: ranks[1].pid, 0: ranks[0].pid})
    assert (first.rank, first.state) == (0, "S")
    assert first.frames[0].name == "stuck_here"
    assert (second.rank, second.state, second.frames) == (1, "T", ())


def test_a_process_that_never_said_it_would_answer_is_not_signalled(tmp_path):
    other = subprocess.Popen([sys.executable, "-c", "import time; print(flush=True); time.sleep(60)"], stdout=-1)
    try:
        assert other.stdout is not None
        other.stdout.readline()
        assert ask_itself(tmp_path / "none.stacks", other.pid) == ()
        assert other.poll() is None
    finally:
        other.kill()
        other.communicate()


def test_a_rank_that_is_gone(run_dir):
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    (found,) = dump_stacks(run_dir, {0: gone.pid})
    assert (found.state, found.frames) == ("X", ())


def fake_py_spy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, script: str) -> None:
    path = tmp_path / "py-spy"
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setattr(stacks, "_py_spy", lambda: str(path))


def test_py_spy_is_asked_for_the_process_without_halting_it(run_dir, tmp_path, monkeypatch):
    pid = os.getpid()
    frame = {"name": "step", "filename": "/a.py", "line": 3}
    frames = json.dumps([{"os_thread_id": pid, "frames": [frame]}])
    fake_py_spy(tmp_path, monkeypatch, f"echo \"$@\" > {tmp_path}/asked; echo '{frames}'")
    run_dir.logs.mkdir()
    (found,) = dump_stacks(run_dir, {0: pid})
    assert str(found.frames[0]) == "step (a.py:3)"
    assert (tmp_path / "asked").read_text() == f"dump --nonblocking --json --pid {pid}\n"
    assert "  step (/a.py:3)\n" in run_dir.rank_stacks(0).read_text()


@pytest.mark.parametrize("script", ["echo 'Permission denied' >&2; exit 1", "exit 0", "exec sleep 60"])
def test_py_spy_that_may_not_look_says_nothing(tmp_path, monkeypatch, script):
    monkeypatch.setattr(stacks, "DUMP_SECONDS", 0.2)
    fake_py_spy(tmp_path, monkeypatch, script)
    assert ask_from_outside(os.getpid()) == ()


def test_without_py_spy_nobody_is_asked_from_outside(without_py_spy):
    assert ask_from_outside(os.getpid()) == ()


def test_the_real_py_spy_reads_a_stopped_rank(run_dir, ranks):
    os.kill(ranks[1].pid, signal.SIGSTOP)
    until(lambda: state_of(ranks[1].pid) == "T")
    frames = ask_from_outside(ranks[1].pid)
    if not frames:
        pytest.skip("py-spy is not installed, or may not look into processes here")
    assert [frame.name for frame in frames] == ["stuck_here", "<module>"]
