from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tunekit.render.pages.bars import COLOURS, Bar, Palette, placed_ticks, ticks


def word(size: float) -> str:
    return f"{size:g} B"


def test_parts_stand_one_after_the_other_the_largest_anywhere_first() -> None:
    segments = Palette(largest={"small": 10, "large": 60}).stack({"small": 10, "large": 30}, 200, word)
    assert [(each.name, each.start, each.width, each.colour) for each in segments] == [
        ("large", 0.0, 15.0, 0),
        ("small", 15.0, 5.0, 1),
    ]
    assert segments[0].said == "large 30 B"


def test_what_has_no_colour_of_its_own_is_one_part() -> None:
    sizes = {f"part {index}": float(100 - index) for index in range(COLOURS + 4)}
    palette = Palette(largest=sizes)
    segments = palette.stack(sizes, 1000, word)
    assert len(segments) == COLOURS + 1
    assert segments[-1].name == "4 smaller parts"
    assert segments[-1].said == f"4 smaller parts {sum(list(sizes.values())[COLOURS:]):g} B"
    assert palette.legend(word)[-1].amount == ""


def test_a_part_that_fits_the_last_colour_alone_keeps_its_name() -> None:
    palette = Palette(largest={f"part {index}": float(100 - index) for index in range(COLOURS + 1)})
    assert palette.legend(word)[-1].name == f"part {COLOURS}"
    assert palette.legend(word)[-1].amount == f"{100 - COLOURS} B"


@given(st.dictionaries(st.text(min_size=1, max_size=3), st.floats(0.1, 1e12), min_size=1, max_size=30))
def test_nothing_is_lost_in_a_bar(sizes: dict[str, float]) -> None:
    top = sum(sizes.values())
    segments = Palette(largest=sizes).stack(sizes, top, word)
    assert sum(each.width for each in segments) == pytest.approx(100, abs=0.02)
    assert len({each.colour for each in segments}) == len(segments)


@given(st.floats(1e-3, 1e7))
def test_ticks_are_round_and_few(top: float) -> None:
    found = ticks(top)
    assert found[0] == 0.0
    assert found[-1] < top
    assert 2 <= len(found) <= 11


def test_ticks_say_where_they_stand() -> None:
    assert placed_ticks(25) == ((0.0, "0"), (20.0, "5"), (40.0, "10"), (60.0, "15"), (80.0, "20"))
    assert placed_ticks(2000)[1][1] == "500"
    assert ticks(0) == (0.0,)


def test_a_bar_is_said_in_one_sentence() -> None:
    segments = Palette(largest={"base": 6}).stack({"base": 6}, 10, word)
    bar = Bar(label="load", value="6 B", share="60%", state="fits", segments=segments)
    assert bar.said == "load: 6 B, 60%. base 6 B"
