from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tunekit.launcher.run_dir import RunDir
from tunekit.worker.journal import Journal, write_json, write_once


def read_lines(path: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def fail(journal: Journal, message: str) -> None:
    try:
        raise ValueError(message)
    except ValueError as error:
        journal.failure(error)


def test_on_a_full_disk_the_failure_is_not_hidden_by_another(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The rank must go on to its exit code; the launcher looks at the drive itself."""

    def full(*args: Any, **more: Any) -> None:
        if isinstance(args[0], Path):
            args[0].touch()
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_text", full)
    monkeypatch.setattr("builtins.print", full)
    fail(Journal(RunDir(tmp_path), rank=0), "no space for the checkpoint")
    assert not list(tmp_path.iterdir()), "nothing half-written stays"


def test_rank_0_writes_events_and_metrics(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    journal = Journal(RunDir(tmp_path), rank=0)
    journal.enter("data")
    journal.derived("threads", 2)
    journal.warn("three rows were cut")
    journal.metric(step=1, loss=2.5)
    events = read_lines(tmp_path / "events.jsonl")
    assert [event["event"] for event in events] == ["phase", "derived", "warning"]
    assert (events[0]["phase"], events[1]["value"], events[2]["text"]) == ("data", 2, "three rows were cut")
    (metric,) = read_lines(tmp_path / "metrics.jsonl")
    assert (metric["step"], metric["loss"]) == (1, 2.5)
    assert "threads = 2" in capsys.readouterr().out


def test_other_ranks_write_and_say_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    journal = Journal(RunDir(tmp_path), rank=1)
    journal.enter("data")
    journal.metric(step=1)
    assert list(tmp_path.iterdir()) == []
    assert capsys.readouterr().out == ""


def test_any_rank_keeps_its_failure_with_phase_and_traceback(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TUNEKIT_ATTEMPT", "2")
    journal = Journal(RunDir(tmp_path), rank=1)
    journal.enter("model")
    fail(journal, "no such weights")
    record = json.loads((tmp_path / "failure.json").read_text())
    assert (record["attempt"], record["rank"], record["phase"], record["type"]) == (2, 1, "model", "ValueError")
    assert record["message"] == "no such weights"
    assert "in fail" in record["traceback"]


def test_the_first_failure_stays(tmp_path: Path) -> None:
    for rank in (1, 0):
        fail(Journal(RunDir(tmp_path), rank=rank), f"rank {rank}")
    assert json.loads((tmp_path / "failure.json").read_text())["message"] == "rank 1"
    assert [path.name for path in tmp_path.iterdir()] == ["failure.json"]


def test_write_json_replaces_and_write_once_does_not(tmp_path: Path) -> None:
    path = tmp_path / "record.json"
    write_json(path, {"number": 1})
    write_json(path, {"number": 2})
    assert not write_once(path, {"number": 3})
    assert json.loads(path.read_text()) == {"number": 2}
    assert [found.name for found in tmp_path.iterdir()] == ["record.json"]
