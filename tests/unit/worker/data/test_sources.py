from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tunekit.errors import MissingError, UsageError
from tunekit.recipe.schema import DataSection
from tunekit.worker.data import sources
from tunekit.worker.data.sources import open_rows, placed

pytestmark = pytest.mark.train

PAIRS = [{"prompt": "P", "completion": "2020-01-01"}, {"prompt": "Q", "completion": "NA"}]


def opened(path: str | Path, **keys: Any) -> list[dict[str, Any]]:
    raw = open_rows(str(path), DataSection(path=str(path), **keys))
    rows = list(raw.rows)
    found = placed({name: [row[name] for row in rows] for name in rows[0]}, range(len(rows)))
    assert all(set(row) <= set(raw.columns) for _, row in found)
    return [row for _, row in found]


def write(folder: Path, kind: str) -> Path:
    path = folder / f"rows.{kind}"
    if kind.lower() == "parquet":
        from datasets import Dataset

        Dataset.from_list(PAIRS).to_parquet(str(path))
        return path
    text = {
        "jsonl": "\n".join(map(json.dumps, PAIRS)),
        "json": json.dumps(PAIRS, indent=1),
        "csv": "prompt,completion\nP,2020-01-01\nQ,NA\n",
    }
    path.write_text(text[kind.lower()])
    return path


@pytest.mark.parametrize("streaming", [False, True])
@pytest.mark.parametrize("kind", ["jsonl", "json", "csv", "parquet", "JSONL", "Json", "CSV", "PARQUET"])
def test_every_kind_of_file_gives_the_same_rows(tmp_path: Path, kind: str, streaming: bool) -> None:
    assert opened(write(tmp_path, kind), streaming=streaming) == PAIRS
    assert opened(tmp_path, streaming=streaming) == PAIRS


def test_json_may_hold_its_rows_under_data(tmp_path: Path) -> None:
    path = tmp_path / "rows.json"
    path.write_text(json.dumps({"version": "1.0", "data": PAIRS}))
    assert opened(path) == PAIRS


def test_a_folder_is_read_file_by_file(tmp_path: Path) -> None:
    for number, pair in enumerate(PAIRS):
        (tmp_path / f"train-{number}.jsonl").write_text(json.dumps(pair))
    (tmp_path / "test-0.jsonl").write_text(json.dumps({"prompt": "held", "completion": "out"}))
    assert opened(tmp_path) == PAIRS
    assert opened(tmp_path, split="test") == [{"prompt": "held", "completion": "out"}]


def test_a_data_set_saved_by_datasets_is_opened(tmp_path: Path) -> None:
    from datasets import Dataset, DatasetDict

    Dataset.from_list(PAIRS).save_to_disk(str(tmp_path / "one"))
    DatasetDict({"train": Dataset.from_list(PAIRS)}).save_to_disk(str(tmp_path / "dict"))
    assert opened(tmp_path / "one") == opened(tmp_path / "dict") == PAIRS
    assert opened(tmp_path / "one", streaming=True) == PAIRS
    with pytest.raises(UsageError, match="has no split test; its splits: train"):
        opened(tmp_path / "dict", split="test")


@pytest.mark.parametrize("streaming", [False, True])
def test_a_saved_data_set_that_is_broken_is_wrong_use(tmp_path: Path, streaming: bool) -> None:
    from datasets import Dataset

    Dataset.from_list(PAIRS).save_to_disk(str(tmp_path / "one"))
    for file in (tmp_path / "one").glob("*.arrow"):
        file.write_bytes(b"x")
    with pytest.raises(UsageError, match=r"one: cannot be read: "):
        opened(tmp_path / "one", streaming=streaming)


def test_hub_data_whose_files_have_other_columns_is_wrong_use(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from datasets import Dataset

    write(tmp_path, "parquet")
    Dataset.from_list([{"text": "x"}]).to_parquet(str(tmp_path / "rows2.parquet"))
    monkeypatch.setattr(sources, "local_data_path", lambda path: str(tmp_path))
    with pytest.raises(UsageError, match=r"owner/data: cannot be read: .*cast"):
        open_rows("owner/data", DataSection(path="owner/data"))


@pytest.mark.parametrize("streaming", [False, True])
def test_max_rows_reads_no_more(tmp_path: Path, streaming: bool) -> None:
    assert opened(write(tmp_path, "jsonl"), max_rows=1, streaming=streaming) == PAIRS[:1]
    assert opened(write(tmp_path, "jsonl"), max_rows=9, streaming=streaming) == PAIRS


def test_a_broken_line_beyond_the_first_thousand_is_named(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_text("\n".join([*map(json.dumps, PAIRS * 600), "{broken"]))
    with pytest.raises(UsageError, match=r"rows.jsonl:1201: broken JSON"):
        opened(path)


def test_a_second_list_beyond_the_first_thousand_rows_is_named(tmp_path: Path) -> None:
    path = tmp_path / "rows.json"
    path.write_text(json.dumps(PAIRS * 600) + "\n" + json.dumps(PAIRS))
    with pytest.raises(UsageError, match=r"rows.json:2: the list of rows ends before this"):
        opened(path)


def test_rows_keep_their_place_and_their_own_keys(lines: Callable[..., str]) -> None:
    rows = [{"messages": [{"role": "user", "content": "Q"}]}, {"messages": [{"from": "gpt", "value": "A"}], "id": 3}]
    raw = open_rows(lines(rows), DataSection(path="x"))
    assert raw.columns == ("messages", "id")
    assert placed(raw.rows[:], [0, 1]) == [("line 1", rows[0]), ("line 2", rows[1])]


def test_a_changed_file_is_read_again(lines: Callable[..., str]) -> None:
    assert opened(lines(PAIRS)) == PAIRS
    assert opened(lines(PAIRS[:1])) == PAIRS[:1]


def test_hub_data_is_read_from_the_copy_on_this_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path, "parquet")
    monkeypatch.setattr(sources, "local_data_path", {"owner/data": str(tmp_path)}.get)
    assert opened("owner/data") == PAIRS


def test_hub_data_that_is_nowhere_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    def unreachable(*_: Any, **__: Any) -> None:
        raise ConnectionError("no network")

    monkeypatch.setattr(sources.datasets, "load_dataset", unreachable)
    with pytest.raises(MissingError, match=r"owner/data is no file or folder here.*no network"):
        open_rows("owner/data", DataSection(path="owner/data"))


def test_an_unknown_split_of_hub_data_is_wrong_use(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path, "parquet")
    monkeypatch.setattr(sources, "local_data_path", lambda path: str(tmp_path))
    with pytest.raises(UsageError, match=r'Unknown split "exam".*data.split'):
        open_rows("owner/data", DataSection(path="owner/data", split="exam"))
