"""Where rows come from: a file, a folder, a data set saved on disk, or one from the hub; at once or as a stream."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import datasets
from datasets import Dataset, Features, IterableDataset, Value

from tunekit.errors import MissingError, UsageError
from tunekit.hub import local_data_path
from tunekit.recipe.data_check import check_data_file
from tunekit.recipe.data_rows import data_files, read_rows, saved_by_datasets
from tunekit.recipe.schema import DataSection
from tunekit.recipe.shipped import existing_path
from tunekit.worker.data.parquet import cause, open_parquet, readable

Rows: TypeAlias = "Dataset | IterableDataset"

AS_TEXT = "placed_row"
"""The one column of rows from JSON and CSV: `[place, row]` as JSON. Arrow would turn dates into time stamps, and give
every turn and every tool call the keys of all others."""

READER_VERSION = 3
"""Part of the cache key: raise it when files are read differently."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RawRows:
    """Rows as they lie there. `columns` are the user's, also where `rows` holds them as text."""

    rows: Rows
    columns: tuple[str, ...]


def open_rows(path: str, data: DataSection) -> RawRows:
    """The rows at `path`, at most `data.max_rows`; reads the first ones only when `data.streaming` is set.

    Local files become memory-mapped Arrow files in the cache of `datasets`, once. Raises UsageError for data that
    cannot be read, naming line and column, and MissingError for a hub data set that is not there.
    """
    local = existing_path(path)
    raw = _from_disk(local, data) if local else _typed(_from_hub(path, data), path)
    rows = raw.rows
    if data.max_rows is not None:
        rows = (
            rows.take(data.max_rows)
            if isinstance(rows, IterableDataset)
            else rows.select(range(min(data.max_rows, len(rows))))
        )
    return RawRows(rows=rows, columns=raw.columns)


def placed(batch: Mapping[str, list[Any]], positions: Sequence[int]) -> list[tuple[str, dict[str, Any]]]:
    """The rows of a batch, each with the place to name in an error."""
    if AS_TEXT in batch:
        return [tuple(json.loads(text)) for text in batch[AS_TEXT]]
    rows = (dict(zip(batch, values, strict=True)) for values in zip(*batch.values(), strict=True))
    return [(f"row {position + 1}", row) for position, row in zip(positions, rows, strict=True)]


def _from_disk(path: Path, data: DataSection) -> RawRows:
    if saved_by_datasets(path):
        with readable(path):
            return _typed(_saved(path, data), str(path))
    files = data_files(path, data.split) if path.is_dir() else (path,)
    # The launcher has looked already; a worker started by hand has not.
    peek = check_data_file(path, data, most_files=None)
    if peek is None:
        return _typed(open_parquet(path, files, streaming=data.streaming), str(path))
    return RawRows(rows=_from_text(files, data), columns=peek.columns)


def _from_text(files: tuple[Path, ...], data: DataSection) -> Rows:
    features = Features({AS_TEXT: Value("string")})
    # Tuples: of a list, datasets would make shards.
    source = {"files": tuple(str(file) for file in files)}
    if data.streaming:
        return IterableDataset.from_generator(_texts, features=features, gen_kwargs=source)
    stamps = tuple((file.stat().st_mtime_ns, file.stat().st_size) for file in files)
    try:
        return Dataset.from_generator(
            _texts, features=features, gen_kwargs={**source, "stamps": stamps, "version": READER_VERSION}
        )
    except datasets.exceptions.DatasetGenerationError as error:
        raise _own_error(error) from error


def _texts(files: tuple[str, ...], **_cache_key: Any) -> Iterator[dict[str, str]]:
    for file in files:
        for place, row in read_rows(Path(file)):
            named = place if len(files) == 1 else f"{Path(file).name} {place}"
            yield {AS_TEXT: json.dumps([named, row], ensure_ascii=False)}


def _own_error(error: BaseException) -> BaseException:
    """The UsageError that `datasets` wrapped, or the error itself."""
    inner: BaseException | None = error
    while inner is not None and not isinstance(inner, UsageError):
        inner = inner.__cause__
    return inner or error


def _saved(path: Path, data: DataSection) -> Rows:
    saved = datasets.load_from_disk(str(path))
    if isinstance(saved, Mapping):
        if data.split not in saved:
            raise UsageError(f"{path}: has no split {data.split}; its splits: {', '.join(saved)}; set data.split")
        saved = saved[data.split]
    return saved.to_iterable_dataset() if data.streaming else saved


def _from_hub(path: str, data: DataSection) -> Rows:
    try:
        # The launcher has fetched it: a folder of the hub's cache. Only a worker started by hand asks the network.
        with readable(Path(path), faults=(datasets.exceptions.DatasetGenerationError,)):
            return datasets.load_dataset(local_data_path(path), data.name, split=data.split, streaming=data.streaming)
    except (datasets.exceptions.DatasetNotFoundError, ConnectionError, FileNotFoundError) as error:
        raise MissingError(
            f"data.path: {path} is no file or folder here, and the hub does not have it or is not reached: "
            f"{cause(error)}; write the path of your file, or check the name on huggingface.co/datasets"
        ) from error
    except ValueError as error:
        # A split or configuration that does not exist; the message of `datasets` names those that do.
        raise UsageError(f"data.path: {path}: {cause(error)}; see data.split and data.name") from error


def _typed(rows: Rows, source: str) -> RawRows:
    first = next(iter(rows), None)
    if first is None:
        raise UsageError(f"{source}: the data set holds no rows")
    return RawRows(rows=rows, columns=tuple(rows.column_names or first))
