import pytest

from tunekit.memory.llamafactory_cells import CURRENT, OLDER, ROW_NAMES, Edition


@pytest.mark.parametrize("edition", [CURRENT, OLDER])
def test_every_row_has_a_cell_per_column_and_never_falls(edition: Edition) -> None:
    assert set(edition.cells) <= set(ROW_NAMES)
    for cells in edition.cells.values():
        assert len(cells) == len(edition.sizes)
        assert list(cells) == sorted(cells)


def test_the_columns_the_two_editions_share_agree() -> None:
    for row, cells in CURRENT.cells.items():
        for size in (7, 30, 70):
            assert cells[CURRENT.sizes.index(size)] == OLDER.cells[row][OLDER.sizes.index(size)]


def test_mixtures_stand_in_the_older_edition_only() -> None:
    assert CURRENT.mixture_cells is None
    assert OLDER.mixture_cells is not None
    assert set(OLDER.mixture_cells) == set(OLDER.cells)
    assert OLDER.mixture_cells["qlora_4"] == (30, 96)
