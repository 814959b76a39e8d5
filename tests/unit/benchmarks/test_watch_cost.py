"""The benchmark measures every part, and says no where watching costs too much."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import watch_cost


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["watch_cost.py", "--looks", "3", "--step-seconds", "0"])


def test_every_part_has_its_row(quick: None, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("tensorboard")
    watch_cost.main()
    printed = capsys.readouterr().out
    for part in ("cards, RAM, drives", "TensorBoard", "a whole look", "RAM alone", "a poll that is not due"):
        assert part in printed
    assert "% of one core" in printed


def test_too_much_is_refused(quick: None, monkeypatch: pytest.MonkeyPatch) -> None:
    dear = [("a whole look", 1.0, 0.2)] * 3
    monkeypatch.setattr(watch_cost, "rows", lambda place, looks: dear)
    monkeypatch.setattr(watch_cost, "with_and_without", lambda place, seconds: (1.0, 1.001))
    assert watch_cost.main() == 1


def test_a_whole_look_writes_one_sample(tmp_path: Path) -> None:
    pytest.importorskip("tensorboard")
    place = watch_cost.Place(tmp_path, 2)
    watcher = place.watcher()
    place.now = 100.0
    watcher.tick()
    assert place.run_dir.metrics.read_text().count('"kind": "sample"') == 1
