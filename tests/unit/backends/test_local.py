from __future__ import annotations

import os
import signal
import sys
import time

import pytest

from tests import fake_deepspeed
from tests.plans import make_plan
from tests.runs import write_run
from tests.waiting import until
from tunekit.backends import local
from tunekit.backends.local import LocalBackend, first_to_fail, oom_kills
from tunekit.backends.processes import is_alive, lives, members, ranks, read_process
from tunekit.errors import MissingError
from tunekit.launcher.exit_codes import STOPPED
from tunekit.launcher.outcome import read_result
from tunekit.launcher.request import LaunchRequest
from tunekit.launcher.stop_request import read_stop_request

PORT = 7
"""Of nobody: below what a user's program may open."""


@pytest.fixture(autouse=True)
def shared_memory(tmp_path, monkeypatch):
    """A folder in place of /dev/shm."""
    folder = tmp_path / "shm"
    folder.mkdir()
    monkeypatch.setattr("tunekit.launcher.shared_memory.SHARED_MEMORY", folder)
    return folder


@pytest.fixture
def run_dir(tmp_path):
    return write_run(tmp_path / "run", make_plan())


@pytest.fixture
def begin(run_dir):
    """Starts the fake in a behaviour; whatever a test leaves behind is killed."""
    started = []

    def start(behaviour):
        argv = (sys.executable, fake_deepspeed.__file__, str(run_dir.path), "outer", "2", behaviour)
        argv += ("--master_port", str(PORT))
        env = {"TUNEKIT_RUN": str(run_dir.path), "TUNEKIT_ATTEMPT": "1"}
        request = LaunchRequest(argv=argv, env=env, files={}, cwd=str(run_dir.path))
        started.append(LocalBackend().start(request, run_dir))
        return started[-1]

    yield start
    for process in started:
        process.kill()


def all_ready(run_dir):
    return until(lambda: all((run_dir.path / f"ready_{rank}").exists() for rank in range(2)))


def pids(run_dir):
    """The outer process, the launcher and both ranks, once all are there."""

    def found():
        alive = {process.pid for process in members(run_dir, read_process(run_dir))}
        return alive if len(alive) == 4 else None

    all_ready(run_dir)
    return until(found)


def judged(run_dir, observed):
    return read_result(run_dir, make_plan(), attempt=1, observed=observed)


def test_success_leaves_logs_by_rank_and_no_process(begin, run_dir):
    process = begin("succeed")
    observed = until(process.poll)
    assert observed.exit_code == 0
    assert judged(run_dir, observed).ok
    assert run_dir.rank_log(0).read_text() == "rank 0 starts\n"
    assert run_dir.rank_log(1).read_text() == "rank 1 starts\n"
    assert not is_alive(run_dir)


def test_exit_0_without_the_marker_has_failed(begin, run_dir):
    observed = until(begin("vanish").poll)
    assert observed.exit_code == 0
    assert judged(run_dir, observed).state == "failed"


def test_a_rank_that_crashes_is_the_cause_and_the_others_do_not_hang(begin, run_dir, monkeypatch):
    monkeypatch.setattr("tunekit.backends.local.SURVIVOR_SECONDS", 0.2)
    observed = until(begin("crash").poll)
    result = judged(run_dir, observed)
    assert (result.exit_code, result.failing_rank) == (1, 1)
    assert result.cause[-1] == "ValueError: the loss is not a number"
    assert not is_alive(run_dir)


def test_a_rank_that_is_killed_is_read_as_signal_9(begin, run_dir, monkeypatch):
    monkeypatch.setattr("tunekit.backends.local.SURVIVOR_SECONDS", 0.2)
    monkeypatch.setattr("tunekit.backends.local.LocalProcess._metrics_began", lambda self: False)
    observed = until(begin("killed").poll)
    result = judged(run_dir, observed)
    assert (result.exit_code, result.signal, result.failing_rank) == (247, 9, 1)
    assert observed.failing_rank == 1
    assert not is_alive(run_dir)


@pytest.mark.parametrize(
    ("gone", "first"),
    [
        ({}, (None, None)),
        ({1: -9}, (1, -9)),
        ({0: 1}, (0, 1)),
        ({0: 1, 1: -9}, (1, -9)),
        ({0: 1, 1: -15}, (None, None)),
        ({0: 1, 1: None}, (None, None)),
        ({0: -9, 1: -11}, (None, None)),
    ],
)
def test_of_several_that_are_gone_the_one_that_was_killed_was_first(gone, first):
    """deepspeed ends the others by SIGTERM."""
    assert first_to_fail(gone) == first


@pytest.mark.parametrize("behaviour", ["succeed", "crash", "orphans"])
def test_shared_memory_goes_with_the_run_however_it_ends(begin, shared_memory, behaviour, monkeypatch):
    monkeypatch.setattr("tunekit.backends.local.SURVIVOR_SECONDS", 0.2)
    process = begin(behaviour)
    mine = shared_memory / f"deepspeed_allreduce_buffer_{os.getuid()}_127.0.0.1_{PORT}_0"
    mine.touch()
    until(process.poll)
    assert not mine.exists()


def test_shared_memory_of_a_run_that_was_killed_before_is_not_mapped_again(begin, shared_memory):
    old = shared_memory / f"deepspeed_allreduce_buffer_{os.getuid()}_127.0.0.1_{PORT}_1"
    old.touch()
    begin("hang")
    assert not old.exists()


def test_what_nobody_could_find_again_is_not_left_running(run_dir, monkeypatch):
    started = []

    def full(run_dir, pid, attempt):
        started.append(pid)
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("tunekit.backends.local.record_process", full)
    argv = (sys.executable, "-c", "import time; time.sleep(600)")
    with pytest.raises(OSError, match="No space"):
        LocalBackend().start(LaunchRequest(argv=argv, env={}, files={}, cwd="/"), run_dir)
    assert not lives(started[0])


def test_a_run_whose_folder_is_gone_is_watched_to_its_end(begin, run_dir):
    process = begin("hang")
    pids(run_dir)
    run_dir.path.rename(run_dir.path.with_name("moved"))
    assert process.poll() is None
    process.stop(grace=1.0)
    assert process.poll() is not None


def test_orphans_of_a_launcher_that_died_are_ended(begin, run_dir):
    process = begin("orphans")
    observed = until(process.poll)
    assert observed.exit_code == 0, "as deepspeed does when its launcher is killed"
    assert judged(run_dir, observed).state == "stopped", "the ranks were well, and were asked to save"
    assert "its deepspeed command was ended" in read_stop_request(run_dir).reason
    assert not is_alive(run_dir)


@pytest.mark.parametrize("behaviour", ["saves", "hang", "deaf"])
def test_stop_leaves_no_process(begin, run_dir, behaviour):
    process = begin(behaviour)
    alive = pids(run_dir)
    began = time.monotonic()
    process.stop(grace=1.0)
    assert time.monotonic() - began < 5.0
    assert not any(lives(pid) for pid in alive)
    assert judged(run_dir, process.poll()).state == "stopped"
    assert (run_dir.checkpoints / "checkpoint-1").exists() == (behaviour == "saves")


def test_stop_before_the_ranks_are_there_waits_for_nothing(begin, run_dir):
    process = begin("hang")
    began = time.monotonic()
    process.stop(grace=30.0)
    assert time.monotonic() - began < 10.0
    assert not is_alive(run_dir)


def test_kill_ends_all_at_once(begin, run_dir):
    process = begin("deaf")
    alive = pids(run_dir)
    process.kill()
    assert not any(lives(pid) for pid in alive)
    assert process.poll().exit_code == STOPPED, "not signal 9, which would look like somebody else's"


@pytest.mark.parametrize(("marked", "code"), [(True, 0), (False, 1)])
def test_a_frozen_launcher_does_not_hold_up_ranks_that_have_ended(begin, run_dir, monkeypatch, marked, code):
    monkeypatch.setattr(local, "LAUNCHER_SECONDS", 0.2)
    process = begin("hang")
    alive = pids(run_dir)
    until(lambda: process.poll() is None and len(process._rank_pids) == 2)
    found = ranks(members(run_dir, read_process(run_dir)))
    os.kill(found[0].ppid(), signal.SIGSTOP)
    if marked:
        (run_dir.path / "success.json").write_text('{"attempt": 1, "steps": 2}')
    for each in found.values():
        each.kill()
    assert until(process.poll).exit_code == code
    assert not any(lives(pid) for pid in alive)


def test_ranks_are_told_from_their_children_and_launchers(begin, run_dir):
    begin("hang")
    pids(run_dir)
    found = ranks(members(run_dir, read_process(run_dir)))
    assert sorted(found) == [0, 1]
    assert all(process.environ()["RANK"] == str(rank) for rank, process in found.items())


def test_the_run_has_a_session_of_its_own_and_no_input(begin, run_dir):
    process = begin("hang")
    assert os.getsid(process.pid) == process.pid != os.getsid(0)
    assert os.path.realpath(f"/proc/{process.pid}/fd/0") == "/dev/null"


def test_a_command_that_is_not_there(run_dir):
    request = LaunchRequest(argv=("/nowhere/deepspeed",), env={}, files={}, cwd="/")
    with pytest.raises(MissingError, match="tunekit\\[train\\]"):
        LocalBackend().start(request, run_dir)


def test_out_of_memory_kills_are_counted(tmp_path):
    counters = tmp_path / "vmstat"
    counters.write_text("nr_free_pages 7\noom_kill 3\n")
    assert oom_kills(counters) == 3
    assert oom_kills(tmp_path / "none") is None
