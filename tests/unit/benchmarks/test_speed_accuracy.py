"""The benchmark of speed from a file to its table and its JSON, and what it says of the founders' table."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest
import speed_accuracy
from speed_rows import SPEED_ROW


@pytest.fixture
def table(tmp_path: Path) -> Path:
    path = tmp_path / "rows.csv"
    rows = [
        SPEED_ROW,
        SPEED_ROW | {"id": "18", "sharding": "FSDP full shard", "micro_batch": "10", "tokens_per_s_total": "4500.3"},
        SPEED_ROW | {"id": "19", "evidence": "claim by authors"},
        SPEED_ROW | {"id": "20", "model": "acme/unknown"},
    ]
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, fieldnames=list(SPEED_ROW))
        writer.writeheader()
        writer.writerows(rows)
    return path


def test_json_has_what_was_promised(table: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    monkeypatch.setattr("sys.argv", ["speed_accuracy.py", "--data", str(table), "--json"])
    speed_accuracy.main()
    said = json.loads(capsys.readouterr().out)
    keys = {"n", "median_error", "p90_error", "p95_error", "bias", "inside_band", "half_band"}
    assert keys == said["all"].keys()
    assert said["all"]["n"] == 3
    assert said["groups"]["AnswerDotAI/fsdp_qlora"]["n"] == 3
    assert said["groups"]["measured, configuration complete"]["n"] == 2
    assert said["groups"]["quoted or claimed"]["n"] == 1
    assert said["all"]["median_error"] < 0.15
    assert said["unmapped"] == [{"reason": "the model acme/unknown is not known", "count": 1, "rows": ["20"]}]


def test_the_table_lists_every_row_and_its_largest_costs(table: Path):
    text = speed_accuracy.as_text(*speed_accuracy.measure(table), verbose=True)
    assert "not mapped: 20: the model acme/unknown is not known" in text
    assert "matrix products of the layers" in text
    assert "matrix products" not in speed_accuracy.as_text(*speed_accuracy.measure(table))


def test_an_empty_table_has_no_figures(tmp_path: Path):
    path = tmp_path / "empty.csv"
    path.write_text("id,model\n", encoding="utf-8")
    assert speed_accuracy.as_json(*speed_accuracy.measure(path))["all"]["median_error"] is None


def test_published_speeds_are_met(shared_data: Path):
    """Median 15 % and nine in ten within 35 % of what was measured, for rows whose configuration is complete."""
    path = shared_data / "speed_measurements.csv"
    results, unmapped = speed_accuracy.measure(path)
    with path.open(encoding="utf-8", newline="") as file:
        assert len(results) + len(unmapped) == sum(1 for _ in csv.DictReader(file))
    found = speed_accuracy.as_json(results, unmapped)["groups"]["measured, configuration complete"]
    assert found["n"] >= 100
    assert found["median_error"] < 0.15
    assert found["p90_error"] < 0.35
    assert found["inside_band"] > 0.7
