"""Where rows come from: a file, a folder, a data set saved on disk, or one from the hub; at once or as a stream."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeAlias

import datasets
from datasets import Dataset, Features, IterableDataset, Value

from tunekit.errors import MissingError, UsageError
from tunekit.recipe.data_check import check_data_file
from tunekit.recipe.data_rows import data_files, nested_under_data
from tunekit.recipe.schema import DataSection
from tunekit.recipe.shipped import existing_path

Rows: TypeAlias = "Dataset | IterableDataset"


def open_rows(path: str, data: DataSection) -> Rows:
    """The rows at `path`, at most `data.max_rows`; reads nothing yet when `data.streaming` is set.

    Local files become memory-mapped Arrow files in the cache of `datasets`, once. Raises UsageError for data that
    cannot be read, naming line and column, and MissingError for a hub data set that is not there.
    """
    local = existing_path(path)
    rows = _from_disk(local, data) if local else _from_hub(path, data)
    if data.max_rows is None:
        return rows
    if isinstance(rows, IterableDataset):
        return rows.take(data.max_rows)
    return rows.select(range(min(data.max_rows, len(rows))))


def _from_disk(path: Path, data: DataSection) -> Rows:
    if (path / "state.json").is_file() or (path / "dataset_dict.json").is_file():
        return _saved(path, data)
    files = data_files(path, data.split) if path.is_dir() else (path,)
    # The launcher has looked already; a worker started by hand has not.
    check_data_file(path, data)
    kind = files[0].suffix.lower().removeprefix(".")
    names = [str(file) for file in files]
    try:
        return datasets.load_dataset(
            "json" if kind == "jsonl" else kind,
            data_files=names,
            split="train",
            streaming=data.streaming,
            **_reader_options(kind, files[0]),
        )
    except (datasets.exceptions.DatasetGenerationError, ValueError, TypeError) as error:
        _name_the_line(files, data)
        raise UsageError(f"{path}: cannot be read: {_first_cause(error)}") from error


def _saved(path: Path, data: DataSection) -> Rows:
    saved = datasets.load_from_disk(str(path))
    if isinstance(saved, Mapping):
        if data.split not in saved:
            raise UsageError(f"{path}: has no split {data.split}; its splits: {', '.join(saved)}; set data.split")
        saved = saved[data.split]
    return saved.to_iterable_dataset() if data.streaming else saved


def _reader_options(kind: str, file: Path) -> dict[str, Any]:
    if kind == "json":
        return {"field": "data"} if nested_under_data(file) else {}
    if kind == "csv":
        # Everything is text: pandas would make numbers of dates and nothing of "NA" and "None".
        header = file.open(encoding="utf-8-sig").readline()
        return {"features": _all_text(header), "na_filter": False}
    return {}


def _all_text(header: str) -> Features:
    import csv

    return Features({name: Value("string") for name in next(csv.reader([header]))})


def _name_the_line(files: tuple[Path, ...], data: DataSection) -> None:
    """Look at every row for the fault that the first thousand did not show; raises UsageError where it is found."""
    for file in files:
        check_data_file(file, data, limit=None)


def _from_hub(path: str, data: DataSection) -> Rows:
    try:
        return datasets.load_dataset(path, data.name, split=data.split, streaming=data.streaming)
    except (datasets.exceptions.DatasetNotFoundError, ConnectionError, FileNotFoundError) as error:
        raise MissingError(
            f"data.path: {path} is no file or folder here, and the hub does not have it or is not reached: "
            f"{_first_cause(error)}; write the path of your file, or check the name on huggingface.co/datasets"
        ) from error
    except ValueError as error:
        # A split or configuration that does not exist; the message of `datasets` names those that do.
        raise UsageError(f"data.path: {path}: {_first_cause(error)}; see data.split and data.name") from error


def _first_cause(error: BaseException) -> str:
    while error.__cause__ is not None:
        error = error.__cause__
    return str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
