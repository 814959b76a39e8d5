from __future__ import annotations

import pytest

from tunekit.launcher.run_dir import RunDir
from tunekit.launcher.stop_request import StopAsked, ask_to_stop, read_stop_request


@pytest.fixture
def run_dir(tmp_path):
    return RunDir(tmp_path)


def test_what_was_asked_can_be_read(run_dir):
    asked = StopAsked(reason="500 MiB of RAM left", todo="add swap", save=True)
    assert ask_to_stop(run_dir, asked)
    assert read_stop_request(run_dir) == asked
    assert [path.name for path in run_dir.path.iterdir()] == ["stop.request"]


def test_who_asked_first_is_heard(run_dir):
    ask_to_stop(run_dir, StopAsked(reason="first"))
    assert not ask_to_stop(run_dir, StopAsked(reason="second"))
    assert read_stop_request(run_dir).reason == "first"


@pytest.mark.parametrize("text", ["", "1763847000\n", "[]", '{"reason": 3, "save": "yes"}'])
def test_a_request_of_another_hand_has_no_reason_to_save(run_dir, text):
    run_dir.stop_request.write_text(text)
    assert not read_stop_request(run_dir).save


def test_nobody_asked(run_dir):
    assert read_stop_request(run_dir) == StopAsked()


def test_nothing_half_written_stays_on_a_full_drive(run_dir, monkeypatch):
    def full(self, target):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("pathlib.Path.replace", full)
    with pytest.raises(OSError):
        ask_to_stop(run_dir, StopAsked(reason="disk"))
    assert list(run_dir.path.iterdir()) == []
