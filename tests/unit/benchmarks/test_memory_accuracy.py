"""The benchmark from a file to its table and its JSON."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import memory_accuracy
import pytest
from accuracy.figures import percentile
from accuracy.mapping import map_row
from accuracy.peers import PEERS
from accuracy.rows import Row
from accuracy.setting import Setting
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
    assert said.keys() == {"groups", "all", "unmapped"}
    assert keys == said["all"].keys()
    assert all(keys == group.keys() for group in said["groups"].values())
    assert said["all"]["n"] == 2
    assert said["groups"]["FMSPK"]["median_error"] < 0.02
    assert said["all"]["false_fits"] == 0
    assert said["unmapped"] == [
        {"reason": "the model acme/unknown is not known", "count": 1, "rows": ["OTHER-1"]},
    ]


def test_the_other_tools_stand_beside_ours_on_the_same_rows(
    table: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.setattr("accuracy.peers._answered", lambda asked: "ANSWERS" + str([10**10] * 3))
    monkeypatch.setattr("sys.argv", ["memory_accuracy.py", "--data", str(table), "--json", "--verbose"])
    memory_accuracy.main()
    details = json.loads(capsys.readouterr().out)["details"]["all"]
    assert {"p95_error", "half_band", "ran", "failed", "peers", "false_fits_of_planner"} <= details.keys()
    assert {name: peer["n"] for name, peer in details["peers"].items()} == dict.fromkeys(PEERS, 2)
    assert details["peers"]["LLaMA-Factory table"]["false_fits"] == 1.0
    text = memory_accuracy.as_text(*memory_accuracy.measure(table))
    assert all(peer in text for peer in PEERS)


@pytest.mark.parametrize("said", ["", "no table"])
def test_a_tool_that_does_not_answer_says_nothing(table: Path, monkeypatch: pytest.MonkeyPatch, said: str):
    monkeypatch.setattr("accuracy.peers._answered", lambda asked: said)
    results, _ = memory_accuracy.measure(table)
    assert all(result.peers["DeepSpeed estimators"] is None for result in results)


def test_columns_may_be_missing_or_in_another_order_and_programs_unknown(tmp_path: Path):
    needed = ("seq_len", "micro_batch", "method", "row_id", "model", "gpu_mem_value", "unit_base", "strange")
    rows = [
        ROW | {"row_id": "NEW-1", "framework": "some trainer", "strange": "x"},
        ROW | {"row_id": "NEW-2", "method": "galore"},
        ROW | {"row_id": "NEW-3", "seq_len": ""},
    ]
    path = tmp_path / "other.csv"
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, fieldnames=needed, extrasaction="ignore")
        writer.writeheader()
        writer.writerows(rows)
    results, unmapped = memory_accuracy.measure(path, peers=False)
    assert [result.setting.name for result in results] == ["NEW-1"]
    assert [each.name for each in unmapped] == ["NEW-2", "NEW-3"]
    assert all(each.reason for each in unmapped)


def test_neither_the_name_of_a_row_nor_its_source_decides(table: Path):
    results, _ = memory_accuracy.measure(table, peers=False)
    other = {"row_id": "ZZZ-9", "source_repo": "some/where", "source_path": "else.md", "source_rev": "0"}
    for result in results:
        cells = next(row for row in (ROW, ROW | {"micro_batch": "8"}, ROW | {"micro_batch": "64", "outcome": "oom"})
                     if row["micro_batch"] == str(result.setting.job.batch.micro_batch_size))  # fmt: skip
        again = map_row(Row(cells=cells | other))
        assert isinstance(again, Setting)
        assert again.job == result.setting.job
        assert again.states == result.setting.states


def test_the_page_gets_the_table_between_its_marks(
    table: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    page = tmp_path / "page.md"
    page.write_text("before\n<!-- accuracy:begin -->\nold\n<!-- accuracy:end -->\nafter\n")
    argv = ["memory_accuracy.py", "--data", str(table), "--no-peers", "--write-page", str(page)]
    monkeypatch.setattr("sys.argv", argv)
    memory_accuracy.main()
    text = page.read_text()
    assert text.startswith("before\n<!-- accuracy:begin -->\n`benchmarks/memory_accuracy.py --data rows.csv")
    assert text.endswith("<!-- accuracy:end -->\nafter\n")
    assert "old" not in text
    assert "| FMSPK | 2 |" in text
    assert (
        "false `fits` are 0.0% with the program's allocator replayed, and 0.0% by the planner's verdict alone" in text
    )
    assert "the model acme/unknown is not known (1)" in text
    page.write_text("no marks")
    with pytest.raises(SystemExit, match="has no place for the table"):
        memory_accuracy.main()
    capsys.readouterr()


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
