from __future__ import annotations

import pytest

from tests.plans import make_plan
from tests.runs import steps, write_json, write_lines, write_run
from tunekit.launcher.attempts import all_metrics, answers_before, archive_attempt, last_attempt, next_attempt
from tunekit.launcher.run_dir import RunDir


@pytest.fixture
def run_dir(tmp_path):
    run_dir = write_run(tmp_path / "run", make_plan())
    write_lines(run_dir.metrics, steps(3.0, 2.5, 2.2))
    run_dir.rank_log(0).write_text("log of the first")
    run_dir.stop_request.touch()
    run_dir.checkpoints.mkdir()
    return run_dir


def test_an_attempt_is_moved_and_checkpoints_stay(run_dir):
    assert archive_attempt(run_dir) == 2
    first = RunDir(run_dir.attempt(1))
    assert first.rank_log(0).read_text() == "log of the first"
    assert first.metrics.exists()
    assert first.stop_request.exists()
    assert not run_dir.metrics.exists()
    assert not run_dir.stop_request.exists()
    assert run_dir.checkpoints.exists()
    assert run_dir.plan.exists()


def test_no_attempt_overwrites_another(run_dir):
    archive_attempt(run_dir)
    write_json(run_dir.launch, {"attempt": 2})
    assert archive_attempt(run_dir) == 3
    assert next_attempt(run_dir) == 3
    assert run_dir.attempt(1).is_dir()
    assert run_dir.attempt(2).is_dir()


def test_another_plan_takes_the_old_one_along(run_dir):
    archive_attempt(run_dir, with_plan=True)
    assert RunDir(run_dir.attempt(1)).plan.exists()
    assert not run_dir.plan.exists()


def test_a_new_folder_has_attempt_1(tmp_path):
    run_dir = RunDir(tmp_path / "new")
    assert archive_attempt(run_dir) == 1
    assert last_attempt(run_dir) == 1
    assert not run_dir.path.exists()


def test_steps_done_again_count_once(run_dir):
    archive_attempt(run_dir)
    write_lines(run_dir.metrics, steps(2.4, 2.1, first=3))
    assert [(record["step"], record["loss"]) for record in all_metrics(run_dir)] == [
        (1, 3.0),
        (2, 2.5),
        (3, 2.4),
        (4, 2.1),
    ]


def test_the_answer_before_is_the_first_attempts(run_dir):
    write_lines(run_dir.events, [{"event": "sample", "when": "before", "prompt": "Q", "answer": "untrained"}])
    archive_attempt(run_dir)
    write_lines(run_dir.events, [{"event": "sample", "when": "after", "prompt": "Q", "answer": "trained"}])
    assert answers_before(run_dir) == {"Q": "untrained"}
