"""Parquet files and data sets saved on disk: whatever is wrong with them is said in one line, with the file."""

from __future__ import annotations

import errno
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from textwrap import shorten

import datasets
import pyarrow.parquet as pq  # type: ignore[import-untyped]
from datasets import Dataset, IterableDataset
from pyarrow.lib import ArrowException  # type: ignore[import-untyped]

from tunekit.errors import UsageError
from tunekit.recipe.data_check import other_columns

FAULTS = (datasets.exceptions.DatasetsError, ArrowException, ValueError, OSError)
"""What `datasets` and pyarrow raise for bytes that they cannot read."""
_OF_THE_DISK = (errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EROFS)
"""Not the data's fault: the copy in the cache could not be written."""


def open_parquet(path: Path, files: Sequence[Path], *, streaming: bool) -> Dataset | IterableDataset:
    """The rows of `files`, all of the same columns.

    Raises UsageError for a file that cannot be read or has other columns, naming it, and where no file holds a row.
    """
    columns = {file: _columns(file) for file in files}
    first = files[0]
    odd = [file for file in files if {*columns[file]} != {*columns[first]}]
    if odd:
        raise other_columns(columns, odd[0], first, count=len(odd))
    filled = [str(file) for file in files if pq.read_metadata(file).num_rows]
    if not filled:
        raise UsageError(f"{path}: the data set holds no rows")
    with readable(path, files):
        rows = datasets.load_dataset("parquet", data_files=filled, split="train", streaming=streaming)
        if streaming:
            next(iter(rows))  # A stream is not opened before.
        return rows


@contextmanager
def readable(path: Path, files: Sequence[Path] = (), *, faults: tuple[type[Exception], ...] = FAULTS) -> Iterator[None]:
    """Turns what is raised for broken bytes into a UsageError: of the one of the Parquet `files` that is to blame."""
    try:
        yield
    except faults as error:
        if isinstance(_first(error), OSError) and getattr(_first(error), "errno", None) in _OF_THE_DISK:
            raise
        broken = next((file for file in files if _fails(file)), None)
        advice = "; the file is damaged, or not all of it was copied" if broken else ""
        raise UsageError(f"{broken or path}: cannot be read: {cause(error)}{advice}") from error


def cause(error: BaseException) -> str:
    """What the first of the errors says that led to `error`, on one line."""
    first = _first(error)
    return shorten(str(first), 300, placeholder=" ...").rstrip(". ") or type(first).__name__


def _columns(file: Path) -> tuple[str, ...]:
    with readable(file, (file,)):
        return tuple(pq.read_schema(file).names)


def _fails(file: Path) -> bool:
    try:
        for _ in pq.ParquetFile(file).iter_batches():
            pass
    except FAULTS:
        return True
    return False


def _first(error: BaseException) -> BaseException:
    while error.__cause__ is not None:
        error = error.__cause__
    return error
