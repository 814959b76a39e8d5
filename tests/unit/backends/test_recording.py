from __future__ import annotations

from tests.plans import make_plan
from tests.runs import write_run
from tunekit.backends.recording import RecordingBackend, Script
from tunekit.launcher.request import LaunchRequest

FIRST = LaunchRequest(argv=("one",), env={}, files={}, cwd="/")
SECOND = LaunchRequest(argv=("two",), env={}, files={}, cwd="/")


def test_requests_are_recorded_and_scripts_played_in_order(tmp_path):
    run_dir = write_run(tmp_path / "run", make_plan())
    backend = RecordingBackend(
        Script(exit_code=1, failing_rank=1, polls=0), Script(files={"logs/rank_0.log": "hello"}, polls=1)
    )
    failed = backend.start(FIRST, run_dir).poll()
    assert (failed.exit_code, failed.failing_rank) == (1, 1)
    second, third = backend.start(SECOND, run_dir), backend.start(SECOND, run_dir)
    assert (second.poll(), run_dir.rank_log(0).exists()) == (None, False)
    assert second.poll().exit_code == 0
    assert run_dir.rank_log(0).read_text() == "hello"
    assert third.poll() is None, "the last script is played again"
    assert backend.requests == [FIRST, SECOND, SECOND]


def test_what_was_asked_is_remembered(tmp_path):
    run_dir = write_run(tmp_path / "run", make_plan())
    backend = RecordingBackend(Script(polls=None))
    backend.start(FIRST, run_dir).stop()
    backend.start(FIRST, run_dir).kill()
    assert [(process.stopped, process.killed) for process in backend.processes] == [(True, False), (False, True)]
