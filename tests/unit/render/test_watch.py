from __future__ import annotations

import io

import pytest
from rich.console import Console

from tests.plans import make_plan
from tests.runs import write_run
from tunekit.backends.recording import RecordingBackend, Script
from tunekit.launcher.request import LaunchRequest
from tunekit.render import watch as module
from tunekit.render.live import LiveView, waiting_frame
from tunekit.render.watch import watch


@pytest.fixture
def begin(tmp_path, monkeypatch):
    """Starts a script under a silent view, without waiting between looks."""
    run_dir = write_run(tmp_path / "run", make_plan())
    monkeypatch.setattr(module, "WATCH_SECONDS", 0.0)

    def start(script):
        process = RecordingBackend(script).start(LaunchRequest(argv=(), env={}, files={}, cwd="/"), run_dir)
        return process, LiveView(run_dir, make_plan(), Console(quiet=True))

    return start


def interrupting(view, monkeypatch, when):
    """Ctrl-C at the `when`-th look."""
    looks = iter(range(1, 100))

    def update():
        if next(looks) == when:
            raise KeyboardInterrupt

    monkeypatch.setattr(view, "update", update)


def test_it_is_watched_to_its_end(begin):
    process, view = begin(
        Script(exit_code=3, polls=5, files={"metrics.jsonl": '{"step": 4, "loss": 1.5, "time": 1}\n'})
    )
    assert watch(process, view).exit_code == 3
    assert view.progress.step == 4, "what was written last is read"


def test_an_interrupt_stops_gently(begin, monkeypatch):
    process, view = begin(Script(polls=None))
    interrupting(view, monkeypatch, 2)
    assert watch(process, view).exit_code == 130
    assert (process.stopped, process.killed) == (True, False)


def test_what_an_interrupt_says_fits_on_a_line():
    console = Console(width=80, record=True, quiet=False, file=io.StringIO())
    console.print(waiting_frame(module.STOPPING, 599.0))
    assert console.export_text().rstrip().endswith("(Ctrl-C again kills) … 9 min 59 s")


def test_what_goes_wrong_in_tunekit_itself_leaves_no_process(begin, monkeypatch):
    process, view = begin(Script(polls=None))

    def wrong():
        raise ZeroDivisionError

    monkeypatch.setattr(view, "update", wrong)
    with pytest.raises(ZeroDivisionError):
        watch(process, view)
    assert process.killed


def test_impatience_does_not_stop_the_killing(begin, monkeypatch):
    process, view = begin(Script(polls=None))
    interrupting(view, monkeypatch, 2)
    presses = iter(range(3))
    kill = process.kill

    def impatient(*, grace=0.0):
        raise KeyboardInterrupt

    def interrupted():
        if next(presses, None) is not None:
            raise KeyboardInterrupt
        kill()

    monkeypatch.setattr(process, "stop", impatient)
    monkeypatch.setattr(process, "kill", interrupted)
    assert watch(process, view).exit_code == 130


def test_a_second_interrupt_kills(begin, monkeypatch):
    process, view = begin(Script(polls=None))
    interrupting(view, monkeypatch, 2)

    def impatient(*, grace=0.0):
        raise KeyboardInterrupt

    monkeypatch.setattr(process, "stop", impatient)
    assert watch(process, view).exit_code == 130
    assert process.killed
