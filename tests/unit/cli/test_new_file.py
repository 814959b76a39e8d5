from __future__ import annotations

from pathlib import Path

import pytest

from tunekit.cli.new_file import refuse_existing, write_new
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


def test_before_long_work_a_file_or_a_link_that_is_there_is_refused(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to("nowhere")
    for there in (tmp_path / "link", tmp_path):
        with pytest.raises(UsageError, match="exists and is not overwritten"):
            refuse_existing(None, there)
    refuse_existing(None, tmp_path / "new.html", tmp_path / ("a" * 300), tmp_path / "no" / "such.html")


def test_a_place_that_cannot_be_written_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="cannot be written: File name too long"):
        write_new(tmp_path / ("a" * 300), "x")
