from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from tunekit.launcher.run_dir import RunDir
from tunekit.worker.stopping import Stopped, StopRequest


def test_a_file_asks(tmp_path: Path) -> None:
    stop = StopRequest(RunDir(tmp_path))
    stop.check()
    assert not stop.asked
    (tmp_path / "stop.request").touch()
    assert stop.asked
    with pytest.raises(Stopped):
        stop.check()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_between_steps_ends_at_once(tmp_path: Path, number: signal.Signals) -> None:
    stop = StopRequest(RunDir(tmp_path))
    with stop.listening(), pytest.raises(Stopped):
        os.kill(os.getpid(), number)
    assert stop.asked


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_in_a_step_waits_for_its_end(tmp_path: Path, number: signal.Signals) -> None:
    stop = StopRequest(RunDir(tmp_path))
    with stop.listening():
        stop.stepping = True
        os.kill(os.getpid(), number)
        assert stop.asked


def test_handlers_are_put_back(tmp_path: Path) -> None:
    before = signal.getsignal(signal.SIGTERM)
    with StopRequest(RunDir(tmp_path)).listening():
        assert signal.getsignal(signal.SIGTERM) != before
    assert signal.getsignal(signal.SIGTERM) == before
