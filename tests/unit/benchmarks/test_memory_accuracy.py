"""The benchmark from a file to its table and its JSON."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import memory_accuracy
import pytest
from accuracy.figures import percentile
from measurement_rows import ROW


@pytest.fixture
def table(tmp_path: Path) -> Path:
    path = tmp_path / "rows.csv"
    rows = [
        ROW,
        ROW | {"row_id": "FMSPK-002", "micro_batch": "8", "gpu_mem_value": "28412178944"},
        ROW | {"row_id": "FMSNV-003", "micro_batch": "64", "outcome": "oom", "gpu_mem_value": ""},
        ROW | {"row_id": "OTHER-1", "model": "acme/unknown"},
    ]
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, fieldnames=list(ROW))
        writer.writeheader()
        writer.writerows(rows)
    return path


def test_json_has_what_was_promised(table: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    monkeypatch.setattr("sys.argv", ["memory_accuracy.py", "--data", str(table), "--json", "--no-peers"])
    memory_accuracy.main()
    said = json.loads(capsys.readouterr().out)
    keys = {"n", "median_error", "p90_error", "bias", "inside_band", "false_fits", "false_rejected"}
    assert keys <= said["all"].keys()
    assert all(keys <= group.keys() for group in said["groups"].values())
    assert said["all"]["n"] == 2
    assert said["groups"]["FMSPK"]["median_error"] < 0.02
    assert said["all"]["false_fits"] == 0
    assert said["unmapped"] == [
        {"reason": "the model acme/unknown is not known", "count": 1, "rows": ["OTHER-1"]},
    ]


def test_the_table_lists_what_it_could_not_map(table: Path):
    results, unmapped = memory_accuracy.measure(table, peers=False)
    text = memory_accuracy.as_text(results, unmapped, verbose=True)
    assert "not mapped: OTHER-1: the model acme/unknown is not known" in text
    assert "FMSPK-002" in text
    assert "FMSPK-002" not in memory_accuracy.as_text(results, unmapped)


def test_percentile_is_a_value_of_the_list():
    assert percentile([0.3, 0.1, 0.2], 0.9) == 0.3
    assert percentile([0.3, 0.1, 0.2, 0.4], 0.5) == 0.2
    assert percentile([], 0.9) is None
