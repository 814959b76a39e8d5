"""Tokenizer and data of a plan, read by what the ranks read them with."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.unit.worker.conftest import PlanTiny
from tunekit.hardware.probing import Options
from tunekit.planner.plan_json import plan_to_json

pytestmark = pytest.mark.train


def measured(plan: Any, folder: Path) -> dict[str, Any]:
    from tunekit.worker.probing.rows import measure

    path = folder / "asked.json"
    path.write_text(json.dumps(plan_to_json(plan)))
    return measure(Options(plan=path))


def test_rows_are_counted_as_the_ranks_would(plan_tiny: PlanTiny, tmp_path: Path) -> None:
    found = measured(plan_tiny(), tmp_path)
    assert found["statistics"]["rows"] == 64
    assert (found["format"], found["cut_short"]) == ("alpaca", False)
    assert found["tokenizer"]["tokens"] > 0
    assert "fault" not in found
    assert json.loads(json.dumps(found)) == found


def test_only_the_first_rows_are_read(plan_tiny: PlanTiny, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from tunekit.worker.probing import rows

    monkeypatch.setattr(rows, "MOST_ROWS", 10)
    found = measured(plan_tiny(), tmp_path)
    assert (found["statistics"]["rows"], found["cut_short"]) == (10, True)


def test_data_that_stop_the_worker_are_told_beside_the_tokenizer(plan_tiny: PlanTiny, tmp_path: Path) -> None:
    bad = tmp_path / "bad.jsonl"
    bad.write_text('{"instruction": "a", "output": ""}\n')
    found = measured(plan_tiny(data={"path": str(bad)}), tmp_path)
    assert "empty" in found["fault"]
    assert found["tokenizer"]["eos"]


def test_a_tokenizer_that_is_damaged(plan_tiny: PlanTiny, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from tunekit.worker import model

    def broken(plan: Any, folder: Path) -> None:
        raise ValueError("bad JSON")

    monkeypatch.setattr(model, "load_tokenizer", broken)
    with pytest.raises(RuntimeError, match="the tokenizer cannot be read: bad JSON"):
        measured(plan_tiny(), tmp_path)
