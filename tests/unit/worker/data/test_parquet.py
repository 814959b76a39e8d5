from __future__ import annotations

import errno
from pathlib import Path
from typing import Any

import datasets
import pytest
from datasets import Dataset

from tunekit.errors import UsageError
from tunekit.recipe.data_check import check_data_file
from tunekit.recipe.schema import DataSection
from tunekit.worker.data.parquet import cause, open_parquet, readable

pytestmark = pytest.mark.train

PAIRS = [{"prompt": "P", "completion": "A"}] * 50


def write(path: Path, rows: list[dict[str, Any]]) -> Path:
    path.parent.mkdir(exist_ok=True)
    Dataset.from_list(rows).to_parquet(str(path))
    return path


def with_a_broken_page(path: Path) -> Path:
    """Both ends are as they should be, what lies between is not."""
    whole = write(path, PAIRS).read_bytes()
    path.write_bytes(whole[:10] + b"\xff" * 30 + whole[40:])
    return path


def with_a_broken_footer(path: Path) -> Path:
    """Of the length that is written after it."""
    path.write_bytes(b"PAR1" + b"x" * 500 + (100).to_bytes(4, "little") + b"PAR1")
    return path


@pytest.mark.parametrize("streaming", [False, True])
def test_the_rows_of_all_files_are_read(tmp_path: Path, streaming: bool) -> None:
    files = [write(tmp_path / f"{number}.parquet", PAIRS) for number in range(2)]
    assert list(open_parquet(tmp_path, files, streaming=streaming)) == PAIRS * 2


@pytest.mark.parametrize("streaming", [False, True])
@pytest.mark.parametrize("broken", [with_a_broken_page, with_a_broken_footer])
def test_the_broken_file_is_named_in_one_line(tmp_path: Path, broken: Any, streaming: bool) -> None:
    bad = broken(tmp_path / "0.parquet")
    good = write(tmp_path / "1.parquet", PAIRS)
    assert check_data_file(bad, DataSection(path="x")) is None
    with pytest.raises(UsageError, match=r"0.parquet: cannot be read: .*; the file is damaged, or not all") as caught:
        open_parquet(tmp_path, [bad, good], streaming=streaming)
    assert "\n" not in str(caught.value)


def test_a_page_that_is_broken_in_a_later_file_names_that_file(tmp_path: Path) -> None:
    files = [write(tmp_path / "0.parquet", PAIRS), with_a_broken_page(tmp_path / "1.parquet")]
    with pytest.raises(UsageError, match=r"1.parquet: cannot be read"):
        open_parquet(tmp_path, files, streaming=False)


def test_files_with_other_columns_are_refused_with_both(tmp_path: Path) -> None:
    files = [write(tmp_path / "0.parquet", PAIRS), write(tmp_path / "1.parquet", [{"text": "x"}])]
    with pytest.raises(UsageError, match=r"1.parquet: has the columns text, but .*0.parquet has prompt, completion; "):
        open_parquet(tmp_path, files, streaming=False)


def test_the_order_of_the_columns_does_not_matter(tmp_path: Path) -> None:
    files = [write(tmp_path / "0.parquet", PAIRS), write(tmp_path / "1.parquet", [{"completion": "A", "prompt": "P"}])]
    assert open_parquet(tmp_path, files, streaming=False)[50] == PAIRS[0]


@pytest.mark.parametrize("streaming", [False, True])
def test_files_without_rows_are_passed_over(tmp_path: Path, streaming: bool) -> None:
    empty = tmp_path / "0.parquet"
    Dataset.from_dict({"prompt": [], "completion": []}).to_parquet(str(empty))
    with pytest.raises(UsageError, match="holds no rows"):
        open_parquet(empty, [empty], streaming=streaming)
    full = write(tmp_path / "1.parquet", PAIRS)
    assert list(open_parquet(tmp_path, [empty, full], streaming=streaming)) == PAIRS


def test_columns_of_other_kinds_are_told_without_blaming_a_file(tmp_path: Path) -> None:
    files = [
        write(tmp_path / "0.parquet", PAIRS),
        write(tmp_path / "1.parquet", [{"prompt": ["P"], "completion": "A"}]),
    ]
    with pytest.raises(UsageError, match=rf"^{tmp_path}: cannot be read: Couldn't cast (?!.*damaged)"):
        open_parquet(tmp_path, files, streaming=False)


def test_a_full_disk_is_not_the_fault_of_the_data(tmp_path: Path) -> None:
    with pytest.raises(datasets.exceptions.DatasetGenerationError), readable(tmp_path):
        raise datasets.exceptions.DatasetGenerationError("while generating") from OSError(errno.ENOSPC, "No space left")


def test_the_cause_is_the_first_of_the_errors_on_one_line() -> None:
    outer = ValueError("outer")
    outer.__cause__ = ValueError("Couldn't cast\n x to\n y.")
    assert cause(outer) == "Couldn't cast x to y"
    assert cause(KeyError()) == "KeyError"
