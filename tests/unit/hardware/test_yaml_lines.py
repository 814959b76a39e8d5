"""Hardware files with lines."""

from __future__ import annotations

import pytest

from tunekit.errors import RecipeError
from tunekit.hardware.yaml_lines import read_yaml_lines


def test_every_key_has_its_line() -> None:
    source = read_yaml_lines("a: 1\nb:\n  c: 2\nd:\n  - e: 3\n    f: 4\n  - e: 5\n", file="box.yaml")
    assert dict(source.lines) == {
        "a": 1,
        "b": 2,
        "b.c": 3,
        "d": 4,
        "d.0": 5,
        "d.0.e": 5,
        "d.0.f": 6,
        "d.1": 7,
        "d.1.e": 7,
    }
    assert source.where("d.1.zzz") == "box.yaml:7"
    assert source.where("zzz") == "box.yaml"
    assert source.content["d"][1] == {"e": 5}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a: [1\nb: 2", "box.yaml:2: this is not YAML"),
        ("a: 1\n\tb: 2", "box.yaml:2: this is not YAML"),
        ("- a\n- b", "box.yaml: found no `key: value` lines"),
        ("", "box.yaml: found no `key: value` lines"),
        ("a: 1\nb: 2\na: 3", "box.yaml:3: a stands here a second time; it stands in line 1 already"),
        ("a: \x01", "box.yaml: this is not YAML"),
        (
            "a: 1\nb:\n  - date: 2026-13-45",
            "box.yaml:3: 2026-13-45 cannot be read (month must be in 1..12); write it in",
        ),
        ("a: 1\nb: !!int abc", "box.yaml:2: abc cannot be read"),
    ],
)
def test_faults_name_the_place(text: str, said: str) -> None:
    with pytest.raises(RecipeError) as caught:
        read_yaml_lines(text, file="box.yaml")
    assert str(caught.value).startswith(said)
