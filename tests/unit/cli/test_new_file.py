from __future__ import annotations

from pathlib import Path

import pytest

from tunekit.cli.new_file import write_new
from tunekit.errors import UsageError


def test_a_file_and_its_folder_are_made_and_the_folder_is_told(tmp_path: Path) -> None:
    assert write_new(tmp_path / "a.yaml", "x") == ""
    told = write_new(tmp_path / "new" / "b.yaml", "y")
    assert (tmp_path / "new" / "b.yaml").read_text() == "y"
    assert told == f" (the folder {tmp_path / 'new'} was created)"


def test_nothing_is_ever_written_over(tmp_path: Path) -> None:
    file = tmp_path / "a.yaml"
    file.write_text("mine")
    with pytest.raises(UsageError, match="exists and is not overwritten"):
        write_new(file, "theirs")
    assert file.read_text() == "mine"


def test_a_place_that_cannot_be_written_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="cannot be written: File name too long"):
        write_new(tmp_path / ("a" * 300), "x")
