"""What every backend does: one suite over the real one and the public fake."""

from __future__ import annotations

import sys

import pytest

from tests.plans import make_plan
from tests.runs import write_run
from tests.waiting import until
from tunekit.backends.base import backend
from tunekit.backends.local import LocalBackend
from tunekit.backends.recording import RecordingBackend, Script
from tunekit.errors import UsageError
from tunekit.launcher.exit_codes import STOPPED
from tunekit.launcher.request import LaunchRequest

WRITES = "import pathlib, sys; pathlib.Path(sys.argv[1]).write_text('{}'); sys.exit(int(sys.argv[2]))"
HANGS = "import time; time.sleep(600)"


class Local:
    """Starts small Python programs."""

    def __init__(self, run_dir):
        self.run_dir = run_dir

    def start(self, code, *words):
        env = {"TUNEKIT_RUN": str(self.run_dir.path), "TUNEKIT_ATTEMPT": "1"}
        request = LaunchRequest(argv=(sys.executable, "-c", code, *words), env=env, files={}, cwd="/")
        return LocalBackend().start(request, self.run_dir)

    def ends_with(self, code):
        return self.start(WRITES, str(self.run_dir.success), str(code))

    def hangs(self):
        return self.start(HANGS)


class Recording:
    """Plays scripts."""

    def __init__(self, run_dir):
        self.run_dir = run_dir

    def play(self, script):
        request = LaunchRequest(argv=("deepspeed",), env={}, files={}, cwd="/")
        return RecordingBackend(script).start(request, self.run_dir)

    def ends_with(self, code):
        return self.play(Script(files={"success.json": "{}"}, exit_code=code, polls=2))

    def hangs(self):
        return self.play(Script(polls=None))


@pytest.fixture(params=[Local, Recording])
def world(request, tmp_path):
    return request.param(write_run(tmp_path / "run", make_plan()))


@pytest.mark.parametrize("code", [0, 1, 3])
def test_it_ends_with_what_it_wrote_and_its_exit_code(world, code):
    process = world.ends_with(code)
    assert until(process.poll).exit_code == code
    assert world.run_dir.success.exists()
    assert process.poll() == process.poll(), "the end stays what it was"


def test_it_runs_until_it_is_stopped(world):
    process = world.hangs()
    assert process.poll() is None
    process.stop(grace=1.0)
    assert process.poll() is not None
    assert world.run_dir.stop_request.exists()


def test_it_runs_until_it_is_killed(world):
    process = world.hangs()
    process.kill()
    assert process.poll().exit_code == 130
    assert not world.run_dir.stop_request.exists()


def test_stopping_what_has_ended_changes_nothing(world):
    process = world.ends_with(0)
    ended = until(process.poll)
    process.kill()
    assert process.poll() == ended


def test_backends_by_name():
    assert isinstance(backend("local"), LocalBackend)
    assert isinstance(backend("recording"), RecordingBackend)
    with pytest.raises(UsageError, match="allowed are local, recording"):
        backend("slurm")


def test_ranks_that_were_asked_end_with_130(tmp_path):
    process = Recording(write_run(tmp_path / "run", make_plan())).hangs()
    process.stop()
    assert process.poll().exit_code == STOPPED
