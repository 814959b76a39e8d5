from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tunekit.errors import MissingError, UsageError
from tunekit.hub import fetch_data, local_data_path

ROWS = b'{"text": "a"}\n'


def test_a_local_file_is_used_as_it_is(tmp_path: Path) -> None:
    file = tmp_path / "rows.jsonl"
    file.write_bytes(ROWS)
    assert fetch_data(str(file)) == local_data_path(str(file)) == str(file)


def test_shipped_data_is_found_from_anywhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert Path(fetch_data("examples/data/finetuning_qa.jsonl")).is_file()


def test_a_missing_file_names_the_nearest(tmp_path: Path) -> None:
    (tmp_path / "train.jsonl").write_bytes(ROWS)
    with pytest.raises(UsageError, match=r"data\.path: .*trian\.jsonl does not exist .* There: train\.jsonl\."):
        fetch_data(str(tmp_path / "trian.jsonl"))


def test_a_missing_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"nor does the folder .*/no \("):
        fetch_data(str(tmp_path / "no" / "rows.jsonl"))


def test_an_empty_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "rows.jsonl").touch()
    with pytest.raises(UsageError, match=r"rows\.jsonl is empty \(0 bytes\)"):
        fetch_data(str(tmp_path / "rows.jsonl"))


def test_a_file_that_may_not_be_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "rows.jsonl"
    file.write_bytes(ROWS)
    monkeypatch.setattr("os.access", lambda *_: False)
    with pytest.raises(UsageError, match=r"may not be read by this user\. Type: chmod u\+r"):
        fetch_data(str(file))


def test_a_hub_data_set_is_fetched_once_and_found_without_network(
    fake_hub: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake_hub.repositories["datasets/acme/rows"] = {"data/train.jsonl": ROWS, "README.md": b"x", "load.py": b"x"}
    assert local_data_path("acme/rows") == "acme/rows"
    folder = Path(fetch_data("acme/rows"))
    assert (folder / "data" / "train.jsonl").read_bytes() == ROWS
    assert not (folder / "load.py").exists()
    assert local_data_path("acme/rows") == str(folder)
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    assert fetch_data("acme/rows") == str(folder)


def test_only_the_named_configuration_is_fetched(fake_hub: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    fake_hub.repositories["datasets/acme/rows"] = {"en/train.csv": b"a\n", "de/train.csv": b"b\n", "README.md": b"x"}
    folder = Path(fetch_data("acme/rows", "de"))
    assert {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()} == {
        "de/train.csv",
        "README.md",
    }
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    assert fetch_data("acme/rows", "de") == str(folder)


def test_part_of_a_data_set_is_not_taken_for_the_whole(fake_hub: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    fake_hub.repositories["datasets/acme/rows"] = {"en/train.csv": b"a\n", "de/train.csv": b"b\n"}
    fetch_data("acme/rows", "de")
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    with pytest.raises(MissingError, match="is not reached"):
        fetch_data("acme/rows")


def test_a_data_set_without_network_says_what_to_do(no_hub: Path) -> None:
    with pytest.raises(MissingError, match=r"acme/rows cannot be fetched: .* Set data\.path to a file or folder here"):
        fetch_data("acme/rows")


def test_a_data_set_that_does_not_exist(fake_hub: Any) -> None:
    with pytest.raises(MissingError, match="acme/rows does not exist"):
        fetch_data("acme/rows")


def test_a_data_set_of_code_only(fake_hub: Any) -> None:
    fake_hub.repositories["datasets/acme/rows"] = {"load.py": b"x", "README.md": b"x"}
    with pytest.raises(UsageError, match="has no data files"):
        fetch_data("acme/rows")


def test_what_can_be_no_data_set() -> None:
    with pytest.raises(UsageError, match=r"data\.path: 'my rows' is neither"):
        fetch_data("my rows")
