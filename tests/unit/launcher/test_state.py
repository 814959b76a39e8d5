from __future__ import annotations

import time

import pytest

from tests.plans import make_plan
from tests.runs import steps, write_json, write_lines, write_run
from tunekit.errors import RunFailed, UsageError
from tunekit.launcher.attempts import archive_attempt
from tunekit.launcher.run_dir import RunDir
from tunekit.launcher.state import (
    archived_attempt,
    holds_work,
    is_run,
    plan_of_attempt,
    read_plan,
    read_state,
    read_status,
)
from tunekit.planner.plan_json import plan_to_json


@pytest.fixture
def run_dir(tmp_path):
    return write_run(tmp_path / "run", make_plan())


def test_alive(run_dir):
    assert read_state(run_dir, alive=True) == "preparing"
    write_lines(run_dir.metrics, steps(2.0))
    assert read_state(run_dir, alive=True) == "running"


def test_ended(run_dir):
    assert read_state(run_dir, alive=False) == "lost"
    run_dir.stop_request.touch()
    assert read_state(run_dir, alive=False) == "stopped"
    write_json(run_dir.failure, {"rank": 0})
    assert read_state(run_dir, alive=False) == "failed"
    write_json(run_dir.result, {"state": "stopped"})
    assert read_state(run_dir, alive=False) == "stopped"
    write_json(run_dir.success, {"attempt": 1})
    assert read_state(run_dir, alive=False) == "done"


def test_the_marker_of_an_older_attempt_is_not_done(run_dir):
    write_json(run_dir.launch, {"attempt": 2})
    write_json(run_dir.success, {"attempt": 1})
    assert read_state(run_dir, alive=False) == "lost"


def test_status_tells_how_far(run_dir):
    write_lines(run_dir.metrics, [*steps(3.0, 2.5), {"step": 2, "eval_loss": 2.6}])
    write_lines(run_dir.events, [{"event": "phase", "phase": "data"}, {"event": "phase", "phase": "train"}])
    status = read_status(run_dir, alive=True)
    assert (status.step, status.max_steps, status.loss, status.phase) == (2, 10, 2.5, "train")
    assert (status.name, status.attempt) == ("run", 1)
    assert status.changed > 0


def test_the_plan_is_the_one_that_is_run(run_dir):
    assert read_plan(run_dir) == make_plan()
    write_json(run_dir.plan, {"format_version": 1})
    with pytest.raises(UsageError, match=f"^{run_dir.plan}: this is not a plan"):
        read_plan(run_dir)
    run_dir.plan.unlink()
    with pytest.raises(RunFailed, match="was moved or deleted while the run was going on"):
        read_plan(run_dir)


def test_a_plan_whose_bytes_are_no_text_is_damaged(run_dir):
    run_dir.plan.write_bytes(b'{"format_version": 1, "name": "\xff\xfe"}')
    with pytest.raises(UsageError, match=f"^{run_dir.plan}: this is not a plan .*: byte 31 \\(0xff\\) is not UTF-8$"):
        read_plan(run_dir)


def test_what_a_run_is(tmp_path, run_dir):
    assert is_run(run_dir)
    assert not is_run(RunDir(tmp_path))
    assert not holds_work(run_dir)
    run_dir.checkpoints.mkdir()
    assert holds_work(run_dir)


def test_an_earlier_attempt_is_known_by_its_folder_and_had_the_plan_of_the_next(run_dir):
    write_json(run_dir.launch, {"attempt": 3})
    for number in (1, 2):
        run_dir.attempt(number).mkdir()
    assert archived_attempt(RunDir(run_dir.attempt(2))) == (run_dir, 2)
    assert archived_attempt(run_dir) is archived_attempt(RunDir(run_dir.attempt(9))) is None
    assert plan_of_attempt(run_dir, 1).job.method == "lora"
    write_json(RunDir(run_dir.attempt(2)).plan, plan_to_json(make_plan(method="full", adapter=None)))
    assert plan_of_attempt(run_dir, 1).job.method == "full"


def test_the_newest_step_is_that_of_an_earlier_attempt_where_the_last_one_has_none(run_dir):
    write_lines(run_dir.metrics, steps(3.0, 2.5))
    archive_attempt(run_dir)
    write_json(run_dir.launch, {"attempt": 2})
    status = read_status(run_dir, alive=True)
    assert (status.attempt, status.state, status.step, status.loss) == (2, "preparing", 2, 2.5)
    assert status.stepped is None


@pytest.mark.parametrize(("ago", "unwatched"), [(5.0, False), (300.0, True)])
def test_a_watch_that_looks_no_more_is_noticed(run_dir, ago, unwatched):
    looked = time.time() - ago
    write_lines(run_dir.metrics, [*steps(3.0), {"kind": "sample", "time": looked}])
    status = read_status(run_dir, alive=True)
    assert status.stepped == 1001.0
    assert status.unwatched_since == (looked if unwatched else None)
    assert read_status(run_dir, alive=False).unwatched_since is None
    assert read_status(run_dir, alive=True, unwatched=True).unwatched_since == looked
    run_dir.stop_request.touch()
    assert read_status(run_dir, alive=True, unwatched=True).unwatched_since is None


def test_without_a_look_nobody_watches_since_the_start(run_dir):
    write_lines(run_dir.metrics, steps(3.0))
    assert read_status(run_dir, alive=True, unwatched=True).unwatched_since is None, "no rank has been started yet"
    run_dir.launcher_log.touch()
    assert read_status(run_dir, alive=True).unwatched_since is None
    assert read_status(run_dir, alive=True, unwatched=True).unwatched_since == run_dir.launch.stat().st_mtime
