from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys

import psutil
import pytest

from tests.plans import make_plan
from tests.runs import write_run
from tests.waiting import until
from tunekit.backends import processes as module
from tunekit.backends.processes import (
    end_processes,
    exit_code_of,
    is_alive,
    kill_processes,
    members,
    read_process,
    reap_orphans,
    record_process,
    start_mark,
    watcher_is_gone,
)
from tunekit.launcher.run_dir import RunDir

SLEEPER = "import time; print(1, flush=True); time.sleep(600)"


@pytest.fixture
def run_dir(tmp_path):
    return write_run(tmp_path / "run", make_plan())


@pytest.fixture
def sleeper(run_dir):
    """A process of the run, the leader of its session."""
    process = subprocess.Popen(
        [sys.executable, "-c", SLEEPER],
        env={**os.environ, "TUNEKIT_RUN": str(run_dir.path)},
        stdout=subprocess.PIPE,
        start_new_session=True,
    )
    process.stdout.readline()
    yield process
    process.kill()
    process.wait()
    process.stdout.close()


def test_nothing_was_started(run_dir):
    assert read_process(run_dir) is None
    assert not is_alive(run_dir)


def test_a_run_is_found_again_by_its_record(run_dir, sleeper):
    record = record_process(run_dir, sleeper.pid, 2)
    assert read_process(run_dir) == record
    assert record.attempt == 2
    assert [process.pid for process in members(run_dir, record)] == [sleeper.pid]


def test_the_end_of_who_watched_is_noticed(run_dir, sleeper):
    assert not watcher_is_gone(run_dir)
    record_process(run_dir, sleeper.pid, 1)
    assert not watcher_is_gone(run_dir)
    told = json.loads(run_dir.process.read_text())
    run_dir.process.write_text(json.dumps(told | {"watcher_started": "another boot/1000"}))
    assert watcher_is_gone(run_dir)
    without = {name: value for name, value in told.items() if not name.startswith("watcher")}
    run_dir.process.write_text(json.dumps(without))
    assert is_alive(run_dir)
    assert not watcher_is_gone(run_dir)


def test_another_process_with_the_same_pid_is_left_alone(run_dir, sleeper):
    record_process(run_dir, sleeper.pid, 1)
    other = json.loads(run_dir.process.read_text()) | {"started": "another boot/1000"}
    run_dir.process.write_text(json.dumps(other))
    assert not is_alive(run_dir)
    end_processes(run_dir, read_process(run_dir), grace=0.0)
    assert sleeper.poll() is None


def test_a_clock_that_is_set_loses_no_run(run_dir, sleeper, monkeypatch):
    """psutil's times of day move with the clock; ticks since boot do not."""
    record_process(run_dir, sleeper.pid, 1)
    monkeypatch.setattr(psutil.Process, "create_time", lambda self: 0.0)
    assert is_alive(run_dir)


@pytest.mark.parametrize("text", ["", "{}", '{"pid": "x", "started": "y", "attempt": 1}', "[]", '{"pid": 1}'])
def test_a_record_that_is_damaged_is_none(run_dir, text):
    run_dir.process.write_text(text)
    assert read_process(run_dir) is None
    assert not is_alive(run_dir)


def test_how_a_process_ended_is_known_until_its_parent_asks(sleeper):
    assert exit_code_of(sleeper.pid) is None, "it lives"
    sleeper.kill()
    assert until(lambda: exit_code_of(sleeper.pid)) == -9
    sleeper.wait()
    assert exit_code_of(sleeper.pid) is None, "it is too late"
    assert start_mark(sleeper.pid) is None


def test_processes_are_ended_where_the_request_cannot_be_written(run_dir, sleeper):
    record = record_process(run_dir, sleeper.pid, 1)
    shutil.rmtree(run_dir.path)
    end_processes(run_dir, record, grace=1.0)
    assert until(sleeper.poll) == -9


@pytest.fixture
def orphan(run_dir):
    """A process of the run whose leader has died."""
    leave = (
        "import subprocess, sys; nul = subprocess.DEVNULL; "
        "print(subprocess.Popen([sys.executable, '-c', sys.argv[1]], stdin=nul, stdout=nul).pid, flush=True); input()"
    )
    leader = subprocess.Popen(
        [sys.executable, "-c", leave, "import time; time.sleep(600)"],
        env={**os.environ, "TUNEKIT_RUN": str(run_dir.path)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        start_new_session=True,
    )
    pid = int(leader.stdout.readline())
    record_process(run_dir, leader.pid, 1)
    leader.communicate(b"\n")
    yield pid
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)


def test_orphans_are_found_by_their_mark_and_killed(run_dir, orphan):
    record = read_process(run_dir)
    assert [process.pid for process in members(run_dir, record)] == [orphan]
    kill_processes(run_dir, record)
    assert not is_alive(run_dir)


def test_orphans_are_reaped_by_the_next_look(run_dir, orphan):
    assert reap_orphans(run_dir, grace=0.0) == 1
    assert until(lambda: not psutil.pid_exists(orphan) or exit_code_of(orphan) is not None)
    assert not run_dir.stop_request.exists(), "one rank of two cannot save"
    assert reap_orphans(run_dir, grace=0.0) == 0


def test_ranks_that_are_all_there_may_save_before_they_are_reaped(run_dir, orphan, monkeypatch):
    monkeypatch.setattr(module, "ranks", lambda left: dict(enumerate([*left, *left])))
    assert reap_orphans(run_dir, grace=0.0) == 1
    assert "nobody watched" in json.loads(run_dir.stop_request.read_text())["reason"]
    assert not is_alive(run_dir)


def test_a_run_that_goes_on_is_no_orphan(run_dir, sleeper):
    record_process(run_dir, sleeper.pid, 1)
    assert reap_orphans(run_dir, grace=0.0) == 0
    assert sleeper.poll() is None
    assert reap_orphans(RunDir(run_dir.path / "nowhere"), grace=0.0) == 0


def test_orphans_of_another_run_are_left_alone(run_dir, tmp_path, orphan):
    other = write_run(tmp_path / "other", make_plan())
    assert members(other, read_process(run_dir)) == []


def test_end_leaves_the_request_and_nothing_alive(run_dir, sleeper):
    record = record_process(run_dir, sleeper.pid, 1)
    end_processes(run_dir, record, grace=5.0)
    assert run_dir.stop_request.exists()
    assert until(lambda: sleeper.poll() is not None)
    assert not is_alive(run_dir)


def test_kill(run_dir, sleeper):
    kill_processes(run_dir, record_process(run_dir, sleeper.pid, 1))
    assert until(lambda: sleeper.poll()) == -9
    assert not run_dir.stop_request.exists()
