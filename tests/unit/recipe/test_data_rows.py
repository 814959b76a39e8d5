from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import pytest

from tunekit.errors import UsageError
from tunekit.recipe import data_rows
from tunekit.recipe.data_rows import data_files, read_rows

ROWS = [{"text": "one"}, {"text": "two [{}"}, {"text": "drei ä"}]


def write(folder: Path, name: str, text: str) -> Path:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path


@pytest.mark.parametrize(
    ("name", "text", "word"),
    [
        ("a.jsonl", "\n".join(json.dumps(row) for row in ROWS), "line"),
        ("a.jsonl", "\n\n" + "\n\n".join(json.dumps(row) for row in ROWS) + "\n", "line"),
        ("a.json", json.dumps(ROWS), "row"),
        ("a.json", "  \n" + json.dumps(ROWS, indent=4), "row"),
        ("a.json", json.dumps({"version": 1, "data": ROWS}, indent=1), "row"),
        ("a.json", json.dumps({"data": ROWS}), "row"),
        ("a.json", "\n".join(json.dumps(row) for row in ROWS), "line"),
        ("a.csv", 'text\none\n"two [{}"\ndrei ä\n', "line"),
        ("a.csv", '\ufefftext\none\n"two [{}"\ndrei ä\n', "line"),
    ],
)
def test_every_shape_of_file_gives_the_same_rows(tmp_path: Path, name: str, text: str, word: str) -> None:
    found = list(read_rows(write(tmp_path, name, text)))
    assert [row for _, row in found] == ROWS
    assert all(place.startswith(f"{word} ") for place, _ in found)


def test_places_are_counted_as_an_editor_counts_them(tmp_path: Path) -> None:
    lines = write(tmp_path, "a.jsonl", '\n{"text": "x"}\n\n{"text": "y"}\n')
    table = write(tmp_path, "a.csv", 'text\n"over\ntwo lines"\nnext\n')
    assert [place for place, _ in read_rows(lines)] == ["line 2", "line 4"]
    assert [place for place, _ in read_rows(table)] == ["line 3", "line 4"]


def test_only_what_is_asked_for_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(data_rows, "_CHUNK", 16)
    path = write(tmp_path, "a.json", "[" + ",".join(json.dumps({"text": "x" * 40}) for _ in range(50)) + ", broken")
    rows = read_rows(path)
    assert [next(rows)[1] for _ in range(50)] == [{"text": "x" * 40}] * 50
    with pytest.raises(UsageError, match=r"row 51: broken JSON"):
        next(rows)


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        (
            "a.jsonl",
            '{"text": "x"}\n{"text": "y"\n',
            r"a.jsonl:2: broken JSON at column 13: .*one whole object per line",
        ),
        ("a.jsonl", '{"text": "x"}\n["y"]\n', r"line 2 is a list, expected an object"),
        ("a.json", '[{"text": "x"} {"text": "y"}]', r"row 2: broken JSON: expected a comma"),
        ("a.json", '[{"text": "x"}, 3]', r"row 2 is a number, expected an object"),
        ("a.json", '"text"', r"expected a list of objects"),
        ("a.json", '{"rows": [\n]}', r'one object without a list in "data"'),
        (
            "a.json",
            '{"train": [{"text": "x"}],\n"test": []}',
            r"file holds .* train, test; .*'.train\[\]' a.json",
        ),
        ("a.json", '{"train": [{"text": "x"}], "test": []}', r"line 1 holds .* splits train, test; .* > train.jsonl"),
        ("a.jsonl", '{"validation": [{"text": "x"}]}', r"line 1 holds .* splits validation; .* data.eval_path"),
        ("a.csv", "a,b\n1,2,3\n", r"a.csv:2: 3 values under 2 column names"),
        ("a.txt", "hello", r"ends with .jsonl, .json, .csv or .parquet$"),
        ("a.tsv", "a\tb\n1\t2\n", r"or .parquet; call it .csv: tabs are recognised"),
    ],
)
def test_faults_are_named_with_their_place(tmp_path: Path, name: str, text: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        list(read_rows(write(tmp_path, name, text)))


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ('[{"text": "x"},\n {"text": "y"}]\n[{"text": "z"}]\n', 3),
        ('[{"text": "x"}][{"text": "y"}]', 1),
        ('[{"text": "x"}]\n\n{"text": "y"}', 3),
        ('[{"text": "x"}]]', 1),
        ('{"data": [{"text": "x"}]}\n{"data": [{"text": "y"}]}', 2),
    ],
)
@pytest.mark.parametrize("chunk", [4, 1 << 20])
def test_rows_after_the_end_are_refused_not_lost(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, line: int, chunk: int
) -> None:
    monkeypatch.setattr(data_rows, "_CHUNK", chunk)
    with pytest.raises(UsageError, match=rf"a.json:{line}: the (list|object) of rows ends before this.*in a folder"):
        list(read_rows(write(tmp_path, "a.json", text)))


def test_bytes_that_are_not_utf8_are_named(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_bytes('{"text": "ä"}'.encode("latin1"))
    with pytest.raises(UsageError, match=r"not UTF-8 text \(byte 10\).* -f latin1 -t utf-8 a.jsonl > utf8-a.jsonl$"):
        list(read_rows(path))


@pytest.mark.parametrize(("name", "text"), [("a b.csv", "text\nxä\n"), ("a b.json", '[{"text": "xä"}]')])
@pytest.mark.parametrize("encoding", ["utf-16", "utf-16le", "utf-16be", "utf-32"])
@pytest.mark.skipif(shutil.which("iconv") is None, reason="needs iconv, whose command is typed as it is told")
def test_text_of_wide_characters_gets_the_command_that_reads_it(
    tmp_path: Path, name: str, text: str, encoding: str
) -> None:
    path = tmp_path / name
    path.write_bytes(text.encode(encoding))
    with pytest.raises(UsageError, match=rf"is {encoding[:6].upper()} text; .* iconv -f {encoding} ") as caught:
        list(read_rows(path))
    subprocess.run(str(caught.value).rpartition("e.g. ")[2], shell=True, check=True, cwd=tmp_path)
    assert [row for _, row in read_rows(tmp_path / f"utf8-{name}")] == [{"text": "xä"}]


def test_an_empty_file_has_no_rows(tmp_path: Path) -> None:
    for name in ("a.json", "a.jsonl", "a.csv"):
        assert list(read_rows(write(tmp_path, name, ""))) == []


def test_a_folder_gives_its_files_of_one_split_in_order(tmp_path: Path) -> None:
    for name in ("data/train-00001.jsonl", "data/train-00000.jsonl", "data/test-00000.jsonl", ".cache/x.jsonl"):
        write(tmp_path, name, "{}")
    write(tmp_path, "dataset_infos.json", "{}")
    write(tmp_path, "README.md", "about")
    assert [path.name for path in data_files(tmp_path)] == ["train-00000.jsonl", "train-00001.jsonl"]
    assert [path.name for path in data_files(tmp_path, "test")] == ["test-00000.jsonl"]
    with pytest.raises(UsageError, match="no data file is named after the split validation"):
        data_files(tmp_path, "validation")


@pytest.mark.parametrize(
    ("split", "chosen", "others"),
    [
        ("train", ["train.jsonl"], ["trainee.jsonl", "pretrain.jsonl"]),
        ("train", ["train-00000-of-00002.jsonl", "train-00001-of-00002.jsonl"], ["trainers-00000.jsonl"]),
        ("train", ["train.part1.jsonl", "train_1.jsonl", "train2.jsonl"], ["test.jsonl"]),
        ("train", ["Train.jsonl"], ["Test.jsonl"]),
        ("train", ["train/0.jsonl", "train/1.jsonl"], ["test/0.jsonl", "trainee/0.jsonl"]),
        ("train", ["train.jsonl"], ["my_train.jsonl", "training.jsonl"]),
        ("train", ["my_train.jsonl"], ["my_test.jsonl"]),
        ("train", ["training.jsonl"], ["testing.jsonl"]),
        ("validation", ["dev.jsonl"], ["devices.jsonl", "train.jsonl"]),
        ("test", ["eval-1.jsonl"], ["train.jsonl"]),
    ],
)
def test_files_of_a_split_are_told_by_their_names(
    tmp_path: Path, split: str, chosen: list[str], others: list[str]
) -> None:
    for name in (*chosen, *others):
        write(tmp_path, name, "{}")
    assert [str(path.relative_to(tmp_path)) for path in data_files(tmp_path, split)] == sorted(chosen)


def test_a_folder_of_files_without_a_split_gives_them_all(tmp_path: Path) -> None:
    for name in ("b.csv", "a.csv"):
        write(tmp_path, name, "text\n")
    assert [path.name for path in data_files(tmp_path)] == ["a.csv", "b.csv"]


def test_the_case_of_a_suffix_does_not_matter(tmp_path: Path) -> None:
    files = [write(tmp_path, "A.JSONL", '{"text": "x"}'), write(tmp_path, "b.jsonl", '{"text": "y"}')]
    assert list(data_files(tmp_path)) == files
    write(tmp_path, "c.CSV", "text\nz\n")
    with pytest.raises(UsageError, match=r"mixes .csv and .jsonl files"):
        data_files(tmp_path)


def test_a_folder_without_data_or_with_mixed_kinds_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="holds no data file"):
        data_files(tmp_path)
    write(tmp_path, "a.csv", "text\n")
    write(tmp_path, "b.jsonl", "{}")
    with pytest.raises(UsageError, match=r"mixes .csv and .jsonl files"):
        data_files(tmp_path)


@pytest.mark.parametrize("mark", [",", ";", "\t"])
def test_what_separates_the_columns_is_recognised(tmp_path: Path, mark: str) -> None:
    text = (
        f'\ufeffprompt{mark}completion\n"a{mark}, b; c"{mark}d, e; f\n'
        if mark == "\t"
        else (f'\ufeffprompt{mark}completion\n"a{mark} b"{mark}d\n')
    )
    (row,) = [row for _, row in read_rows(write(tmp_path, "a.csv", text))]
    assert list(row) == ["prompt", "completion"]
    assert row["prompt"].startswith("a")


def test_a_comma_that_stands_in_a_name_does_not_win_over_more_semicolons(tmp_path: Path) -> None:
    path = write(tmp_path, "a.csv", "id, number;prompt;completion\n1;two;three\n")
    assert [list(row) for _, row in read_rows(path)] == [["id, number", "prompt", "completion"]]
    with pytest.raises(UsageError, match="put quotes around a value that holds a semicolon"):
        list(read_rows(write(tmp_path, "b.csv", "a;b\n1;2;3\n")))


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("a.jsonl", "[" * 100_000),
        ("a.jsonl", '{"a": ' + "1" * 5000 + "}"),
        ("a.json", "[" + '{"a":' * 100_000),
        ("a.json", '[{"a": ' + "1" * 5000 + "}]"),
        ("a.json", '{"data": ' + "[" * 100_000),
    ],
)
def test_hostile_rows_are_one_clear_error(tmp_path: Path, name: str, text: str) -> None:
    with pytest.raises(UsageError, match=name):
        list(read_rows(write(tmp_path, name, text)))


@pytest.mark.parametrize(("train", "test"), [("trainset", "testset"), ("trainData", "testData"), ("train", "test")])
def test_a_test_set_is_never_learned_from(tmp_path: Path, train: str, test: str) -> None:
    for name in (train, test):
        (tmp_path / f"{name}.jsonl").write_text("{}")
    assert [path.stem for path in data_files(tmp_path)] == [train]
