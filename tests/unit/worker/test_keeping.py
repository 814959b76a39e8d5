"""Which checkpoints stay, and which are not gone on from."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.runs import write_checkpoint
from tunekit.launcher.checkpoints import find_fault, newest_complete
from tunekit.worker.keeping import drop_old, set_aside

pytestmark = pytest.mark.train


def kept(folder: Path) -> list[int]:
    return sorted(int(path.name.removeprefix("checkpoint-")) for path in folder.iterdir())


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Checkpoints of steps 2, 4, 6 and 8."""
    for step in (2, 4, 6, 8):
        write_checkpoint(tmp_path, step)
    return tmp_path


def test_the_newest_stay(folder: Path) -> None:
    drop_old(folder, keep=2)
    assert kept(folder) == [6, 8]
    drop_old(folder, keep=5)
    assert kept(folder) == [6, 8]


def test_the_newest_that_has_proven_itself_stays_with_them(folder: Path) -> None:
    drop_old(folder, keep=1, proven_below=8)
    assert kept(folder) == [6, 8]
    drop_old(folder, keep=1, proven_below=9)
    assert kept(folder) == [8]


def test_where_none_has_proven_itself_the_newest_stay(folder: Path) -> None:
    drop_old(folder, keep=1, proven_below=0)
    assert kept(folder) == [8]


def test_what_was_saved_when_the_run_had_gone_wrong_is_not_gone_on_from(folder: Path) -> None:
    good = set_aside(folder, proven_below=6, reason="the loss is nan since step 6")
    assert good == folder / "checkpoint-4"
    newest = newest_complete(folder)
    assert newest is not None
    assert newest.step == 4
    assert find_fault(folder / "checkpoint-8") == ("saved when the run had gone wrong: the loss is nan since step 6")
    assert kept(folder) == [2, 4, 6, 8]


def test_doubtful_ones_are_not_counted_and_go_when_the_run_has_passed_them(folder: Path) -> None:
    set_aside(folder, proven_below=5, reason="nan")
    drop_old(folder, keep=2)
    assert kept(folder) == [2, 4, 6, 8], "the good ones are those to keep"
    write_checkpoint(folder, 7)
    drop_old(folder, keep=2)
    assert kept(folder) == [4, 7, 8]


def test_without_a_good_one_there_is_none(folder: Path) -> None:
    assert set_aside(folder, proven_below=2, reason="nan") is None
    assert newest_complete(folder) is None
