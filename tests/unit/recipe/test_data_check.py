from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tunekit.errors import RecipeError, UsageError
from tunekit.recipe import data_check
from tunekit.recipe.data_check import check_data, check_data_file
from tunekit.recipe.schema import DataSection

PAIR = {"prompt": "Q", "completion": "A"}


def lines(folder: Path, rows: list[Any], name: str = "rows.jsonl") -> Path:
    path = folder / name
    path.write_text("\n".join(json.dumps(row) for row in rows))
    return path


def check(path: Path, **keys: Any) -> Any:
    return check_data_file(path, DataSection(path=str(path), **keys))


def test_a_good_file_tells_its_format_and_size(tmp_path: Path) -> None:
    peek = check(lines(tmp_path, [PAIR, {**PAIR, "completion": ""}, PAIR]))
    assert (peek.layout.format, peek.rows, peek.empty_rows, peek.whole) == ("prompt_completion", 3, 1, True)
    assert peek.columns == ("prompt", "completion")


def test_only_the_first_rows_are_looked_at(tmp_path: Path) -> None:
    path = lines(tmp_path, [PAIR] * 1000 + [{"other": 1}] * 5)
    assert (check(path).rows, check(path).whole) == (1000, False)
    with pytest.raises(UsageError, match=r"missing in lines 1001, 1002, 1003, 1004 and 1005"):
        check_data_file(path, DataSection(path=str(path)), limit=None)


@pytest.mark.parametrize(("name", "expected"), [("a.jsonl", "one object per line"), ("a.json", "a list of objects")])
def test_an_empty_file_is_refused(tmp_path: Path, name: str, expected: str) -> None:
    (tmp_path / name).write_text("")
    with pytest.raises(UsageError, match=f"a.json.*: the data set holds no rows; expected {expected}"):
        check(tmp_path / name)


def test_an_empty_list_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text("[]")
    with pytest.raises(UsageError, match="holds no rows"):
        check(tmp_path / "a.json")


def test_rows_that_are_all_empty_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="all 2 rows are empty: `prompt` and `completion` hold nothing to learn"):
        check(lines(tmp_path, [{"prompt": "Q", "completion": " "}] * 2))


def test_two_lists_in_one_file_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    path.write_text(f"{json.dumps([PAIR, PAIR], indent=1)}\n{json.dumps([PAIR])}\n")
    with pytest.raises(UsageError, match="a.json:11: the list of rows ends before this"):
        check(path)


@pytest.mark.parametrize("between", ["", "\n", "\r\n  "])
def test_a_second_list_is_found_beyond_the_rows_looked_at(tmp_path: Path, between: str) -> None:
    path = tmp_path / "a.JSON"
    path.write_text(json.dumps([PAIR] * 1100) + between + json.dumps([PAIR]))
    with pytest.raises(UsageError, match=r"a.JSON:[12]: the list of rows ends before this"):
        check(path)


@pytest.mark.parametrize("text", ['a[0][{"b": 1}][{"', "ends like a list ][{"])
def test_brackets_in_a_text_are_no_second_list(tmp_path: Path, text: str) -> None:
    path = tmp_path / "a.json"
    path.write_text(json.dumps([{"prompt": text, "completion": text}] * 1100))
    assert check(path).rows == 1000


def test_no_more_bytes_are_searched_than_half_a_second_allows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.json"
    path.write_text(json.dumps([PAIR] * 1100) + json.dumps([PAIR]))
    monkeypatch.setattr(data_check, "_SCANNED_BYTES", path.stat().st_size - 1)
    assert check(path).rows == 1000


@pytest.mark.parametrize(
    ("rows", "odd", "usual"),
    [
        ([{"instruction": "Q", "input": "", "output": "A"}, PAIR], "1", "0"),
        ([PAIR, {"messages": []}], "0", "1"),
        ([{"question": "Q", "answer": "A"}, {"prompt": "Q", "response": "A"}], "0", "1"),
    ],
)
def test_files_of_a_folder_with_other_columns_are_refused(
    tmp_path: Path, rows: list[Any], odd: str, usual: str
) -> None:
    for number, row in enumerate(rows):
        lines(tmp_path, [row] * 3, f"{number}.jsonl")
    with pytest.raises(UsageError) as caught:
        check(tmp_path)
    columns = {str(number): ", ".join(row) for number, row in enumerate(rows)}
    said = f"{odd}.jsonl: has the columns {columns[odd]}, but {tmp_path}/{usual}.jsonl has {columns[usual]}; "
    assert said in str(caught.value)
    assert "name one file in data.path" in str(caught.value)


def test_several_odd_files_are_counted(tmp_path: Path) -> None:
    for name, row in {"a": PAIR, "b": {"text": "x"}, "c": {"text": "y"}}.items():
        lines(tmp_path, [row], f"{name}.jsonl")
    with pytest.raises(UsageError, match=r"b.jsonl: has the columns text \(the first of 2 such files\), but .*a.jsonl"):
        check(tmp_path)


def test_a_column_that_only_a_later_file_has_is_read(tmp_path: Path) -> None:
    row = {"instruction": "Q", "output": "A"}
    lines(tmp_path, [row], "a.jsonl")
    lines(tmp_path, [{**row, "input": "I"}], "b.jsonl")
    lines(tmp_path, [], "c.jsonl")
    assert check(tmp_path).layout.columns == {"instruction": "instruction", "output": "output", "input": "input"}


def test_a_fault_in_a_later_file_names_it(tmp_path: Path) -> None:
    lines(tmp_path, [PAIR], "a.jsonl")
    lines(tmp_path, [PAIR, {"prompt": "Q"}], "b.jsonl")
    with pytest.raises(UsageError, match="b.jsonl: column `completion` is missing in line 2"):
        check(tmp_path)


def test_no_more_files_are_looked_at_than_asked_for(tmp_path: Path) -> None:
    lines(tmp_path, [PAIR], "a.jsonl")
    (tmp_path / "b.jsonl").write_text("{broken")
    assert check_data_file(tmp_path, DataSection(path="x"), most_files=1) is not None
    with pytest.raises(UsageError, match=r"b.jsonl:1: broken JSON"):
        check_data_file(tmp_path, DataSection(path="x"), most_files=2)


def test_unknown_columns_are_a_recipe_error(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match=r"data.columns='\{prompt: query, completion: reply\}'"):
        check(lines(tmp_path, [{"query": "Q", "reply": "A"}]))


def test_all_faults_are_told_at_once_with_their_lines(tmp_path: Path) -> None:
    rows: list[Any] = [PAIR] * 8 + [{"prompt": "Q"}] + [{"prompt": ["Q"], "completion": "A"}] + [{"prompt": "Q"}] * 7
    with pytest.raises(UsageError) as caught:
        check(lines(tmp_path, rows))
    path = tmp_path / "rows.jsonl"
    assert str(caught.value).splitlines() == [
        f"{path}: column `completion` is missing in lines 9, 11, 12, 13, 14 and 3 more",
        f"{path}: column `prompt` is text in 16 rows but a list in line 10",
        f"{path}: found the columns prompt, completion and read them as prompt_completion; nothing was started.",
    ]


def test_numbers_among_text_are_text(tmp_path: Path) -> None:
    assert (
        check(lines(tmp_path, [PAIR, {"prompt": 3, "completion": 4.5}, {"prompt": "Q", "completion": True}])).rows == 3
    )


def test_turns_that_cannot_be_read_are_told_with_their_lines(tmp_path: Path) -> None:
    bad = {"messages": [{"role": "teacher", "content": "x"}]}
    good = {"messages": [{"role": "user", "content": "Q"}, {"role": "assistant", "content": "A"}]}
    with pytest.raises(UsageError, match="lines 2 and 3: turn 1 is spoken by 'teacher'"):
        check(lines(tmp_path, [good, bad, bad]))


@pytest.mark.parametrize(("name", "text"), [("A.CSV", "prompt,completion\nQ,A\n"), ("a.Json", json.dumps([PAIR]))])
def test_a_suffix_in_capitals_is_read_as_any_other(tmp_path: Path, name: str, text: str) -> None:
    (tmp_path / name).write_text(text)
    assert check(tmp_path / name).rows == check(tmp_path).rows == 1


_FOOTER = b"f" * 20 + (20).to_bytes(4, "little")


def test_parquet_waits_for_the_worker(tmp_path: Path) -> None:
    (tmp_path / "a.parquet").write_bytes(b"PAR1" + _FOOTER + b"PAR1")
    assert check(tmp_path / "a.parquet") is None


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", r"b.Parquet: the file is empty \(0 bytes\)"),
        (b"<!DOCTYPE html>", "b.Parquet: this is no Parquet file: it does not begin with PAR1"),
        (b"PAR1", "b.Parquet: the file is damaged, or not all of it was copied"),
        (b"PAR1" + _FOOTER, "b.Parquet: the file is damaged, or not all of it was copied"),
        (b"PAR1" + _FOOTER[1:] + b"PAR1", "b.Parquet: the file is damaged, or not all of it was copied"),
    ],
)
def test_broken_parquet_does_not_wait_for_the_worker(tmp_path: Path, content: bytes, message: str) -> None:
    (tmp_path / "a.parquet").write_bytes(b"PAR1" + _FOOTER + b"PAR1")
    (tmp_path / "b.Parquet").write_bytes(content)
    for path in (tmp_path, tmp_path / "b.Parquet"):
        with pytest.raises(UsageError, match=message):
            check(path)


@pytest.mark.parametrize("name", ["state.json", "dataset_dict.json"])
def test_what_datasets_saved_waits_for_the_worker(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text("{}")
    (tmp_path / "data-00000-of-00001.arrow").touch()
    assert check(tmp_path) is None


def test_training_and_evaluation_data_are_both_looked_at(tmp_path: Path) -> None:
    good, bad = lines(tmp_path, [PAIR]), lines(tmp_path, [{"x": 1}], "bad.jsonl")
    assert len(check_data(DataSection(path=str(good), eval_path=str(good)))) == 2
    with pytest.raises(RecipeError, match=r"bad.jsonl"):
        check_data(DataSection(path=str(good), eval_path=str(bad)))


def test_hub_data_is_not_looked_at() -> None:
    assert check_data(DataSection(path="someone/some-data")) == ()


def test_shipped_data_is_found_from_anywhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (peek,) = check_data(DataSection(path="examples/data/finetuning_qa.jsonl"))
    assert peek.layout.format == "messages"
    assert peek.empty_rows == 0


@pytest.mark.parametrize(
    ("name", "format", "rows"),
    [("alpaca_en_demo.json", "alpaca", 999), ("c4_demo.jsonl", "text", 300), ("identity.json", "alpaca", 91)],
)
def test_real_files_are_recognised(shared_data: Path, name: str, format: str, rows: int) -> None:
    peek = check(shared_data / name)
    assert (peek.layout.format, peek.rows, peek.whole) == (format, rows, True)


def test_real_preference_data_is_refused(shared_data: Path) -> None:
    with pytest.raises(UsageError, match="preference data"):
        check(shared_data / "dpo_en_demo.json")


def test_an_empty_json_file_beside_a_good_one_is_no_traceback(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text('[{"prompt": "a", "completion": "b"}]')
    (tmp_path / "b.json").touch()
    assert check_data_file(tmp_path, DataSection(path=str(tmp_path))) is not None
