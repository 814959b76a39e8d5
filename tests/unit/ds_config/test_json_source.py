"""JSON with lines: the place of every key, and faults with line and column."""

from __future__ import annotations

from pathlib import Path

import pytest

from tunekit.ds_config.json_source import read_json_source
from tunekit.errors import RecipeError, UsageError
from tunekit.source_lines import SourceLines


def read(tmp_path: Path, text: str) -> SourceLines:
    path = tmp_path / "mine.json"
    path.write_text(text, encoding="utf-8")
    return read_json_source(path, name="mine.json")


def test_every_key_has_its_line(tmp_path: Path) -> None:
    text = '{\n  "a": 1,\n\t"b": {\n    "c": [{"d": 2}, {"d": 3}], "e": "x: {y}"\n  }\n}\n'
    source = read(tmp_path, text)
    assert dict(source.lines) == {"a": 2, "b": 3, "b.c": 4, "b.c.0.d": 4, "b.c.1.d": 4, "b.e": 4}
    assert source.content["b"]["c"][1] == {"d": 3}


def test_quotes_and_backslashes_in_texts_do_not_confuse_it(tmp_path: Path) -> None:
    source = read(tmp_path, '{"a": "\\"{,:\\\\", \n"b\\u0031": 2}')
    assert dict(source.lines) == {"a": 1, "b1": 2}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('{\n  "a": 1,\n}\n', "mine.json:3:1: this is not JSON"),
        ('{\n  // a comment\n  "a": 1\n}', "mine.json:2:3: this is not JSON"),
        ("[1, 2]", "mine.json: found a list; a JSON object { ... }"),
        ('{"a": 1,\n "b": {"c": 1,\n "c": 2}}', "mine.json:3: b.c: found a second time; it stands in line 2 already"),
    ],
)
def test_faults_name_the_place(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(RecipeError) as caught:
        read(tmp_path, text)
    assert said in str(caught.value)
    assert caught.value.exit_code == 2


def test_a_file_in_another_encoding(tmp_path: Path) -> None:
    path = tmp_path / "mine.json"
    path.write_bytes(b'{"a": "\xff"}')
    with pytest.raises(UsageError, match="UTF-8"):
        read_json_source(path, name="mine.json")


@pytest.mark.parametrize(
    ("typed", "shown"),
    [
        ("NaN", "NaN"),
        ("Infinity", "Infinity"),
        ("-Infinity", "-Infinity"),
        ("1e400", "1e400"),
        ("-1e400", "-1e400"),
        ("9" * 5000, "9" * 19 + "…"),
    ],
)
def test_what_is_no_finite_number_is_refused(tmp_path: Path, typed: str, shown: str) -> None:
    with pytest.raises(RecipeError) as caught:
        read(tmp_path, f'{{\n"a": {{\n"b": {typed}}}}}')
    assert [str(problem) for problem in caught.value.problems] == [
        f"mine.json:3: a.b: found {shown}; allowed: a finite number, below 1.8e308; JSON has no NaN and no Infinity"
    ]


def test_all_such_numbers_are_told_at_once_and_those_of_lists_too(tmp_path: Path) -> None:
    with pytest.raises(RecipeError) as caught:
        read(tmp_path, '{"a": NaN,\n"b": [1, {"c": 1e999}, -Infinity]}')
    assert [(problem.where, problem.key) for problem in caught.value.problems] == [
        ("mine.json:1", "a"),
        ("mine.json:2", "b.1.c"),
        ("mine.json:2", "b.2"),
    ]


def test_large_and_small_numbers_are_read(tmp_path: Path) -> None:
    source = read(tmp_path, '{"a": 1e308, "b": 5e-324, "c": 9223372036854775807, "d": 5e8}')
    assert source.content == {"a": 1e308, "b": 5e-324, "c": 2**63 - 1, "d": 5e8}


@pytest.mark.parametrize("depth", [51, 900, 5000, 18_000])
def test_what_is_nested_too_deep_is_refused(tmp_path: Path, depth: int) -> None:
    with pytest.raises(RecipeError, match="nested too deep"):
        read(tmp_path, '{"a": ' * depth + "1" + "}" * depth)
