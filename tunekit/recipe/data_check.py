"""A look at a data file before anything is started: is it readable, is it recognised, do its rows hold together?"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from mmap import ACCESS_READ, mmap
from pathlib import Path
from typing import Any

from tunekit.errors import UsageError
from tunekit.recipe.data_formats import Layout, RowError, conversation, plain_text, recognise
from tunekit.recipe.data_rows import Row, data_files, ending, read_rows, saved_by_datasets
from tunekit.recipe.schema import DataSection
from tunekit.recipe.shipped import existing_path

PEEKED_ROWS = 1000
"""Rows that are looked at before a start."""
PEEKED_FILES = 50
"""Files of a folder that are looked at before a start; the worker looks at all."""
_ROWS_OF_OTHERS = 100
"""Rows that are looked at in each file of a folder but the first."""

Placed = tuple[str, Row]
_SCANNED_BYTES = 128 << 20
"""No more is searched for a second list: half a second at most, where the text is full of brackets."""
_SECOND_LIST = re.compile(rb'\]\s*\[\s*\{\s*"')
"""In one JSON value a comma would stand between; only a text that ends like this looks the same."""
_PARQUET = b"PAR1"
_AROUND = 12
"""Bytes around the footer of a Parquet file: `PAR1` twice, and its length."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DataPeek:
    """What the first rows of a data file say. `whole` is true when there are no more rows than `rows`."""

    layout: Layout
    columns: tuple[str, ...]
    rows: int
    empty_rows: int
    whole: bool


def check_data(data: DataSection) -> tuple[DataPeek, ...]:
    """Look at the training and evaluation data that lie on this machine; hub data waits for the worker.

    Raises UsageError (RecipeError for columns).
    """
    named = [existing_path(path) for path in (data.path, data.eval_path) if path]
    return tuple(peek for path in named if path is not None if (peek := check_data_file(path, data)) is not None)


def check_data_file(
    path: str | Path, data: DataSection, *, limit: int | None = PEEKED_ROWS, most_files: int | None = PEEKED_FILES
) -> DataPeek | None:
    """Read the first `limit` rows of a file, or of the first of a folder and a few of the others.

    None for Parquet, of which only the ends are looked at, and for what `datasets` saved.
    Raises UsageError when the file is empty or broken or its rows do not hold together, with the lines concerned, and
    RecipeError when no format fits its columns, with the override that would help. The counts are the first file's.
    """
    path = Path(path)
    if saved_by_datasets(path):
        return None
    first, *others = data_files(path, data.split)[:most_files] if path.is_dir() else (path,)
    if ending(first) == ".parquet":
        for file in (first, *others):
            _refuse_broken_parquet(file)
        return None
    rows = list(islice(read_rows(first), None if limit is None else limit + 1))
    shown = rows[:limit]
    if not rows:
        raise UsageError(f"{first}: the data set holds no rows; {_expected_file(first)}")
    looked = {first: shown} | {file: list(islice(read_rows(file), _ROWS_OF_OTHERS)) for file in others}
    _refuse_second_lists(looked)
    columns = _columns(*looked.values())
    layout = recognise(columns, data, source=str(path if others else first))
    _refuse_other_columns(looked, layout)
    for file, its_rows in looked.items():
        _refuse_faults(file, its_rows, layout, columns)
    empty = sum(_is_empty(row, layout) for _, row in shown)
    if empty == len(rows):
        raise UsageError(f"{first}: all {empty} rows are empty: {_needed(layout)} hold nothing to learn")
    return DataPeek(
        layout=layout, columns=columns, rows=len(shown), empty_rows=empty, whole=limit is None or len(rows) <= limit
    )


def _columns(*files: Sequence[Placed]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(name for rows in files for _, row in rows for name in row))


def _refuse_other_columns(looked: Mapping[Path, Sequence[Placed]], layout: Layout) -> None:
    """A file of a folder that lacks what another one brings would be dropped row by row."""
    columns = {file: _columns(rows) for file, rows in looked.items() if rows}
    lacking = [file for file, names in columns.items() if not {*layout.needed.values()} <= {*names}]
    if lacking and len(columns) > 1:
        odd = lacking[0]
        usual = min((file for file in columns if columns[file] != columns[odd]), key=lambda file: file in lacking)
        raise other_columns(columns, odd, usual, count=1 if usual in lacking else len(lacking))


def other_columns(columns: Mapping[Path, Sequence[str]], odd: Path, usual: Path, *, count: int) -> UsageError:
    """The error for `odd`, the first of `count` files of a folder whose columns are not those of `usual`."""
    more = f" (the first of {count} such files)" if count > 1 else ""
    return UsageError(
        f"{odd}: has the columns {', '.join(columns[odd])}{more}, but {usual} has {', '.join(columns[usual])}; "
        "the files of a folder are read alike: give them the same columns, or name one file in data.path; "
        "nothing was started."
    )


def _refuse_second_lists(files: Iterable[Path]) -> None:
    """Two JSON files that were written one after the other, also where the second begins beyond the rows looked at."""
    left = _SCANNED_BYTES
    for file in files:
        size = file.stat().st_size
        left -= size
        if left < 0:
            return
        if ending(file) == ".json" and size and _has_second_list(file):
            for _ in read_rows(file):
                pass


def _has_second_list(file: Path) -> bool:
    with file.open("rb") as opened, mmap(opened.fileno(), 0, access=ACCESS_READ) as content:
        return _SECOND_LIST.search(content) is not None


def _refuse_broken_parquet(file: Path) -> None:
    """By its first and last bytes: `PAR1`, at the end after the length of a footer that is in the file."""
    size = file.stat().st_size
    with file.open("rb") as opened:
        head = opened.read(4)
        opened.seek(max(0, size - 8))
        footer, tail = int.from_bytes(opened.read(4), "little"), opened.read(4)
    if not size:
        raise UsageError(f"{file}: the file is empty (0 bytes)")
    if head != _PARQUET:
        raise UsageError(f"{file}: this is no Parquet file: it does not begin with {_PARQUET.decode()}")
    if tail != _PARQUET or footer + _AROUND > size:
        raise UsageError(
            f"{file}: the file is damaged, or not all of it was copied: its end is no end of a Parquet file"
        )


def _expected_file(path: Path) -> str:
    shape = {".csv": "a line of column names and one line per row", ".jsonl": "one object per line"}
    return f"expected {shape.get(ending(path), 'a list of objects')}"


def _needed(layout: Layout) -> str:
    return " and ".join(f"`{theirs}`" for theirs in layout.needed.values())


def _refuse_faults(path: Path, rows: Sequence[Placed], layout: Layout, columns: Sequence[str]) -> None:
    said = [*_missing(rows, layout), *(tuple(_mixed(rows, layout)) or _unreadable(rows, layout))]
    if said:
        found = f"found the columns {', '.join(columns)} and read them as {layout.format}"
        raise UsageError("\n".join([f"{path}: {text}" for text in said] + [f"{path}: {found}; nothing was started."]))


def _missing(rows: Sequence[Placed], layout: Layout) -> Iterable[str]:
    for theirs in layout.needed.values():
        places = [place for place, row in rows if theirs not in row]
        if places:
            yield f"column `{theirs}` is missing in {_places(places)}"


def _mixed(rows: Sequence[Placed], layout: Layout) -> Iterable[str]:
    for theirs in layout.columns.values():
        kinds = [(place, _kind(row.get(theirs))) for place, row in rows if row.get(theirs) is not None]
        count = Counter(kind for _, kind in kinds)
        if len(count) > 1:
            usual = count.most_common(1)[0][0]
            for other in (kind for kind in count if kind != usual):
                places = [place for place, kind in kinds if kind == other]
                most = f"{count[usual]} row{'s' if count[usual] != 1 else ''}"
                yield f"column `{theirs}` is {usual} in {most} but {other} in {_places(places)}"


def _unreadable(rows: Sequence[Placed], layout: Layout) -> Iterable[str]:
    faults: dict[str, list[str]] = {}
    for place, row in rows:
        try:
            _read(row, layout)
        except RowError as error:
            faults.setdefault(str(error), []).append(place)
    for text, places in faults.items():
        yield f"{_places(places)}: {text}"


def _is_empty(row: Row, layout: Layout) -> bool:
    return not _read(row, layout)


def _read(row: Row, layout: Layout) -> Any:
    return plain_text(row, layout).strip() if layout.format == "text" else conversation(row, layout)


def _kind(value: Any) -> str:
    # Numbers are read as text: an answer may be 4 in one row and "four" in the next.
    return "a list" if isinstance(value, list) else "an object" if isinstance(value, dict) else "text"


def _places(places: Sequence[str]) -> str:
    """`line 3`, `lines 3, 4 and 9`, `lines 3, 4, 9, 12, 15 and 20 more`."""
    word = places[0].split()[0]
    numbers = [place.split()[1] for place in places]
    if len(numbers) == 1:
        return places[0]
    rest = len(numbers) - 5
    if rest > 0:
        return f"{word}s {', '.join(numbers[:5])} and {rest} more"
    return f"{word}s {', '.join(numbers[:-1])} and {numbers[-1]}"
