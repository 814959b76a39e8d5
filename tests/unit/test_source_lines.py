"""The place of a key as messages say it."""

from __future__ import annotations

import pytest

from tunekit.source_lines import SourceLines, place_of

LINES = {"a": 2, "a.b": 3, "c.0": 5}


@pytest.mark.parametrize(
    ("key", "place"),
    [
        ("a.b", "mine.json:3"),
        ("a.zzz.y", "mine.json:2"),
        ("c.0.d", "mine.json:5"),
        ("zzz", "mine.json"),
        ("", "mine.json"),
    ],
)
def test_a_key_that_is_not_there_has_the_place_of_the_section_above(key: str, place: str) -> None:
    assert place_of(key, file="mine.json", lines=LINES) == place
    assert SourceLines(file="mine.json", content={}, lines=LINES).where(key) == place
