# ruff: noqa: E501 - messages stand here as they are printed
from __future__ import annotations

import pytest
import yaml

from tunekit.errors import RecipeError
from tunekit.recipe.source_map import Place, RecipeDumper, RecipeLoader, read_yaml


def test_every_key_knows_its_line_and_what_was_typed() -> None:
    source = read_yaml("model:\n  revision: 1.10\n\n  path: 'x'\ntracking: [a, b]\n", file="r.yaml")
    assert str(source.places[("model", "revision")]) == "r.yaml:2"
    assert source.places[("model", "revision")].raw == "1.10"
    assert source.places[("model", "path")].raw is None
    assert source.places[("model", "path")].line == 4
    assert source.places[("tracking", "1")].raw == "b"
    assert source.content == {"model": {"revision": 1.1, "path": "x"}, "tracking": ["a", "b"]}


def test_keys_on_one_line_are_told_apart_by_column() -> None:
    places = read_yaml("method: {kind: lora, rank: 8}\n", file="r.yaml").places
    assert places[("method", "kind")] < places[("method", "rank")]


@pytest.mark.parametrize(
    ("typed", "value"),
    [
        ("1e-4", 1e-4),
        ("1.0e-4", 1e-4),
        ("5", 5),
        ("010", "010"),
        ("1:30", "1:30"),
        ("0x10", "0x10"),
        ("2024-01-01", "2024-01-01"),
        ("yes", True),
        (".5", 0.5),
        ("~", None),
    ],
)
def test_numbers_are_read_as_people_mean_them(typed: str, value: object) -> None:
    assert read_yaml(f"a: {typed}\n", file="r.yaml").content == {"a": value}


def test_a_repeated_key_names_both_lines_and_the_first_is_kept() -> None:
    source = read_yaml("a: 1\nb:\n  c: 2\n  c: 3\na: 4\n", file="r.yaml")
    assert source.content == {"a": 1, "b": {"c": 2}}
    assert [str(problem) for problem in source.problems] == [
        "r.yaml:4: b.c: found a second time; it stands in line 3 already; keep one of the two",
        "r.yaml:5: a: found a second time; it stands in line 1 already; keep one of the two",
    ]


def test_odd_keys_are_texts() -> None:
    assert read_yaml("1: a\nyes: b\n", file="r.yaml").content == {"1": "a", "yes": "b"}


def test_merged_sections_keep_their_places_below_what_is_written_out() -> None:
    source = read_yaml("a: &x {p: 1, q: 2}\nb:\n  q: 3\n  <<: *x\nc:\n  <<: [*x]\n", file="r.yaml")
    assert source.content["b"] == {"p": 1, "q": 3}
    assert source.places[("b", "q")].line == 3
    assert source.places[("b", "p")].line == 1
    assert source.places[("c", "p")].line == 1


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "r.yaml: the file is empty; start from a shipped one: tunekit recipes copy NAME FILE"),
        ("# nothing\n", "r.yaml: the file is empty; start from a shipped one: tunekit recipes copy NAME FILE"),
        ("- a\n", "r.yaml:1: found a list; a recipe is sections of `key: value` lines"),
        ("\nword\n", "r.yaml:2: found a single value; a recipe is sections of `key: value` lines"),
        (
            "a: 1\n\tb: 2\n",
            "r.yaml:2: this is not YAML: found character '\\t' that cannot start any token; indent with spaces, not tabs",
        ),
        (
            "a: b: c\n",
            "r.yaml:1: this is not YAML: mapping values are not allowed here; check the indentation, and quote a text that holds `: `",
        ),
        (
            "a: [1\n",
            "r.yaml:2: this is not YAML: expected ',' or ']', but got '<stream end>'; check brackets, quotes and indentation here and in the line above",
        ),
        (
            "a: 1\n---\nb: 2\n",
            "r.yaml:2: this is not YAML: but found another document; a recipe is one document: remove the `---` in between",
        ),
        (
            "a: !!python/object:os.system x\n",
            "r.yaml:1: this is not YAML: could not determine a constructor for the tag 'tag:yaml.org,2002:python/object:os.system'; check brackets, quotes and indentation here and in the line above",
        ),
        (
            "a: \x00\n",
            "r.yaml: found a character that YAML does not allow (unacceptable character #x0000: special characters are not allowed); save the file as plain UTF-8 text",
        ),
        (
            "a: &x [*x]\n",
            "r.yaml: found sections or lists inside each other more than 30 deep; write values out where they belong; a recipe is three levels deep",
        ),
        (
            "a: &a [1,1,1,1,1,1,1,1,1]\n"
            + "".join(
                f"{x}: &{x} [{','.join([f'*{y}'] * 9)}]\n" for y, x in zip("abcdefghi", "bcdefghij", strict=True)
            ),
            "r.yaml: found more than 20,000 values, every alias written out; write values out where they belong; a recipe is three levels deep",
        ),
        (
            "a: &a " + "x" * 100_000 + "\n" + "".join(f"b{i}: *a\n" for i in range(30)),
            "r.yaml: found more than 20,000 values, every alias written out; write values out where they belong; a recipe is three levels deep",
        ),
        (
            "a: " + "[" * 100 + "]" * 100,
            "r.yaml: found sections or lists inside each other more than 30 deep; write values out where they belong; a recipe is three levels deep",
        ),
    ],
)
def test_what_cannot_be_read_says_where_and_what_to_do(text: str, message: str) -> None:
    with pytest.raises(RecipeError) as caught:
        read_yaml(text, file="r.yaml")
    assert str(caught.value).splitlines()[0] == message


@pytest.mark.parametrize(
    "value", ["1e-4", "no", "010", "1.10", "a: b", "2024-01-01", "???", "", "null", "x\ny", 1e-5, [], {}, None, True]
)
def test_the_dumper_writes_what_the_loader_reads(value: object) -> None:
    text = yaml.dump({"a": value}, Dumper=RecipeDumper)
    assert yaml.load(text, Loader=RecipeLoader) == {"a": value}


def test_shared_values_are_written_out() -> None:
    shared = [1]
    assert "&" not in yaml.dump({"a": shared, "b": shared}, Dumper=RecipeDumper)


def test_a_place_without_a_line_is_its_file() -> None:
    assert str(Place(document=9, line=0, file="command line")) == "command line"
