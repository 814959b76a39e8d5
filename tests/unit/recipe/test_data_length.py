import csv
import io
import json
from pathlib import Path
from typing import Any

import pytest

from tunekit.recipe import data_length
from tunekit.recipe.data_check import PEEKED_ROWS
from tunekit.recipe.data_length import (
    LARGE_VOCABULARY,
    MESSAGE_TOKENS,
    READ_BYTES,
    SYSTEM_TOKENS,
    read_lengths,
    read_samples,
    text_tokens,
)
from tunekit.recipe.schema import DataSection


def _data(file: Path, rows: list[dict[str, Any]], **keys: Any) -> DataSection:
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return DataSection.model_validate({"path": str(file), **keys})


def test_the_mean_is_that_of_the_text_and_of_what_a_template_adds(tmp_path: Path) -> None:
    rows = [{"prompt": "q" * 40, "completion": "a" * 60 * size, "id": "x" * 900} for size in (1, 3)]
    data = _data(tmp_path / "x.jsonl", rows)
    found = read_samples(data, 2048, LARGE_VOCABULARY)
    assert found is not None
    assert found.mean_tokens == (25 + 55) // 2 + 2 * MESSAGE_TOKENS + SYSTEM_TOKENS
    assert found.source == (
        f"all 2 of {data.path} at 4 bytes a token, and for the chat template 5 a turn and 20 of a default system "
        "prompt (assumed)"
    )
    assert not found.assumed


def test_a_row_with_its_own_system_text_gets_no_other(tmp_path: Path) -> None:
    talk = [{"role": role, "content": "w" * 40} for role in ("system", "user", "assistant")]
    found = read_samples(_data(tmp_path / "x.jsonl", [{"messages": talk}]), 2048, LARGE_VOCABULARY)
    assert found is not None
    assert found.mean_tokens == 30 + 3 * MESSAGE_TOKENS


def test_the_bundled_data_come_near_to_what_a_tokenizer_counts() -> None:
    """80.6 tokens of SmolLM2-135M-Instruct a row, counted with its tokenizer and its template."""
    found = read_samples(
        DataSection.model_validate({"path": "examples/data/finetuning_qa.jsonl"}), 2048, LARGE_VOCABULARY
    )
    assert found is not None
    assert found.mean_tokens == pytest.approx(80.6, rel=0.1)


@pytest.mark.parametrize("name", ["x.jsonl", "X.JSONL"])
def test_plain_text_gets_no_template(tmp_path: Path, name: str) -> None:
    data = _data(tmp_path / name, [{"text": "a" * 400}])
    found = read_samples(data, 2048, LARGE_VOCABULARY)
    assert found is not None
    assert (found.mean_tokens, found.source) == (100, f"all 1 of {data.path} at 4 bytes a token")


def test_samples_longer_than_a_row_are_cut(tmp_path: Path) -> None:
    data = _data(tmp_path / "x.jsonl", [{"text": "a" * 40_000}, {"text": "a" * 400}])
    found = read_samples(data, 1000, LARGE_VOCABULARY)
    assert found is not None
    assert found.mean_tokens == 550


def test_of_many_rows_the_first_tell(tmp_path: Path) -> None:
    rows = [{"text": "a" * 80}] * PEEKED_ROWS + [{"text": "b" * 8000}]
    found = read_lengths(_data(tmp_path / "x.jsonl", rows), LARGE_VOCABULARY)
    assert found is not None
    assert (set(found.tokens), len(found.tokens), found.whole) == ({20}, PEEKED_ROWS, False)
    few = read_lengths(_data(tmp_path / "x.jsonl", rows, max_rows=7), LARGE_VOCABULARY)
    assert few is not None
    assert (len(few.tokens), few.whole) == (7, True)


def test_no_more_text_is_looked_at_than_takes_a_moment(tmp_path: Path) -> None:
    found = read_lengths(_data(tmp_path / "x.jsonl", [{"text": "a" * (READ_BYTES // 2)}] * 6), LARGE_VOCABULARY)
    assert found is not None
    assert (len(found.tokens), found.whole) == (3, False)


def test_a_folder_tells_by_its_first_file(tmp_path: Path) -> None:
    _data(tmp_path / "train-0.jsonl", [{"text": "a" * 80}])
    _data(tmp_path / "train-1.jsonl", [{"text": "a" * 800}])
    found = read_lengths(DataSection.model_validate({"path": str(tmp_path)}), LARGE_VOCABULARY)
    assert found is not None
    assert (found.tokens, found.whole) == ((20,), False)
    assert found.rows == 10, "the second file is nine times as large"


@pytest.mark.parametrize("text", ["", "no json", '{"what": 1}\n', '{"messages": 5}\n'])
def test_what_cannot_be_read_tells_nothing_here(tmp_path: Path, text: str) -> None:
    file = tmp_path / "x.jsonl"
    file.write_text(text)
    assert read_samples(DataSection.model_validate({"path": str(file)}), 2048, LARGE_VOCABULARY) is None
    assert read_samples(DataSection.model_validate({"path": "owner/name"}), 2048, LARGE_VOCABULARY) is None
    assert (
        read_samples(DataSection.model_validate({"path": str(tmp_path / "x.parquet")}), 2048, LARGE_VOCABULARY) is None
    )


@pytest.mark.parametrize(
    ("text", "large", "small"),
    [("a" * 40, 10, 10), ("\u4f60" * 40, 30, 60), ("caf\u00e9 " * 8, 12, 16), ("", 0, 0), ("\ud800" * 8, 2, 4)],
)
def test_a_small_vocabulary_has_few_words_beyond_ascii(text: str, large: int, small: int) -> None:
    assert text_tokens(text, LARGE_VOCABULARY) == large
    assert text_tokens(text, LARGE_VOCABULARY - 1) == small


def test_what_is_different_in_a_text_is_said(tmp_path: Path) -> None:
    data = _data(tmp_path / "x.jsonl", [{"text": "\u4f60" * 400}])
    few, many = read_samples(data, 2048, 32_000), read_samples(data, 2048, 152_000)
    assert few is not None
    assert many is not None
    assert (few.mean_tokens, many.mean_tokens) == (600, 300)
    assert few.source.endswith("at 4 bytes a token, 2 of what is not ASCII as the model's vocabulary is small")
    assert many.source.endswith("at 4 bytes a token")


ROWS = 3 * PEEKED_ROWS
TALK = [
    {"messages": [{"role": "user", "content": f"{number}?"}, {"role": "assistant", "content": "yes"}]}
    for number in range(ROWS)
]
HAN = [{"text": "\u4f60\u597d" * 20} for _ in range(ROWS)]
SHORT = [{"prompt": f"{number:04}", "completion": "a"} for number in range(ROWS)]


def _as_csv(rows: list[dict[str, Any]], **how: Any) -> str:
    out = io.StringIO()
    writer = csv.DictWriter(out, list(rows[0]), **how)
    writer.writeheader()
    writer.writerows(rows)
    return out.getvalue()


def _lines(rows: list[dict[str, Any]], **how: Any) -> str:
    return "".join(json.dumps(row, **how) + "\n" for row in rows)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("x.jsonl", _lines(TALK)),
        ("compact.jsonl", _lines(TALK, separators=(",", ":"))),
        ("x.json", json.dumps(TALK)),
        ("pretty.json", json.dumps(TALK, indent=4)),
        ("escaped.json", json.dumps(HAN)),
        ("han.jsonl", _lines([{"text": "\\underline{x}" + "\u4f60" * 20}, *HAN[1:]], ensure_ascii=False)),
        ("x.csv", _as_csv(SHORT)),
        ("quoted.csv", _as_csv(SHORT, quoting=csv.QUOTE_ALL, delimiter=";")),
        ("under.json", json.dumps({"license": "x" * 2_000_000, "data": SHORT})),
        (
            "long.jsonl",
            _lines([{"text": "a" * (READ_BYTES + 9)}, *({"text": "a" * 90_000} for _ in range(PEEKED_ROWS * 2 - 1))]),
        ),
    ],
    ids=lambda each: each if "." in each[:14] and len(each) < 15 else "",
)
def test_of_a_large_file_the_size_tells_how_many_samples_there_are(tmp_path: Path, name: str, text: str) -> None:
    file = tmp_path / name
    file.write_text(text, encoding="utf-8")
    found = read_lengths(DataSection.model_validate({"path": str(file)}), LARGE_VOCABULARY)
    assert found is not None
    assert not found.whole
    assert found.rows == pytest.approx(ROWS if name != "long.jsonl" else 2 * PEEKED_ROWS, rel=0.1)
    few = read_lengths(DataSection.model_validate({"path": str(file), "max_rows": 1500}), LARGE_VOCABULARY)
    assert few is not None
    assert few.rows == 1500


def test_rows_that_were_all_seen_are_counted_however_long_the_first_is(tmp_path: Path) -> None:
    rows = [{"text": "a" * (READ_BYTES + 9)}, *({"text": "a"} for _ in range(900))]
    found = read_lengths(_data(tmp_path / "x.jsonl", rows), LARGE_VOCABULARY)
    assert found is not None
    assert (len(found.tokens), found.rows) == (1, 901)


def test_of_long_documents_no_more_is_read_than_takes_a_moment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(data_length, "LOOKED_BYTES", 10_000)
    file = tmp_path / "x.jsonl"
    file.write_text("".join(json.dumps({"text": "a" * 1000}) + "\n" for _ in range(100)) + "no json")
    found = read_lengths(DataSection.model_validate({"path": str(file)}), LARGE_VOCABULARY)
    assert found is not None, "what is broken behind is not reached"
    assert (len(found.tokens), found.whole) == (10, False)
    assert found.rows == 100
