"""Signs of life of a rank. That it answers a signal with its stack stands in tests/unit/backends/test_stacks.py."""

from __future__ import annotations

import ctypes
import faulthandler
import os
from pathlib import Path

import pytest

from tunekit.watch.stacks import STACK_SIGNAL
from tunekit.worker import signs as module
from tunekit.worker.signs import Signs, let_watcher_look


@pytest.fixture(autouse=True)
def unregistered():
    yield
    faulthandler.unregister(STACK_SIGNAL)


def test_a_touch_changes_the_age_and_nothing_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "logs" / "rank_0.stacks"
    signs = Signs(path)
    os.utime(path, (1, 1))
    signs.touch()
    assert path.stat().st_mtime == 1, "it was made just now"
    monkeypatch.setattr(module, "TOUCH_SECONDS", 0.0)
    signs.touch()
    assert path.stat().st_mtime > 1
    assert path.stat().st_size == 0


def test_a_drive_that_takes_no_file_fails_no_run(tmp_path: Path) -> None:
    (tmp_path / "logs").touch()
    Signs(tmp_path / "logs" / "rank_0.stacks").touch()


def test_the_process_above_the_launcher_may_look(monkeypatch: pytest.MonkeyPatch) -> None:
    calls = []

    class Library:
        def prctl(self, option, pid, *rest):
            calls.append((option, pid.value))

    monkeypatch.setattr(ctypes, "CDLL", lambda name: Library())
    monkeypatch.setattr(os, "getsid", lambda pid: os.getpid())
    let_watcher_look()
    assert calls == [(0x59616D61, os.getppid())]
    monkeypatch.setattr(os, "getsid", lambda pid: 2**22 + 1)
    let_watcher_look()
    assert len(calls) == 1
