from __future__ import annotations

from tunekit.render.pages.parts import Cell, cells


def test_the_first_text_of_a_row_is_its_name() -> None:
    row = cells("load", "1.0", "2.0", look="number")
    assert [cell.look for cell in row] == ["name", "number", "number"]


def test_cells_that_say_how_they_look_keep_it() -> None:
    badge = Cell(text="fits", look="badge")
    assert cells(badge, "x") == (badge, Cell(text="x"))
    assert cells("x", badge)[1] is badge
