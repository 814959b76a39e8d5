"""Rows of a local data file with the standard library alone, one after the other, each with the place it stands at.

A file larger than RAM can be looked at: only what is asked for is read. Parquet is read by the worker.
"""

from __future__ import annotations

import codecs
import csv
import json
import re
import shlex
from collections.abc import Iterator, Mapping, Sequence
from itertools import chain, product
from pathlib import Path
from typing import Any, TextIO, TypeAlias

from tunekit.errors import UsageError
from tunekit.recipe.keys import join_words

Row = dict[str, Any]

READABLE = (".jsonl", ".json", ".csv")
"""Suffixes that `read_rows` reads."""
SUFFIXES = (*READABLE, ".parquet")
"""Suffixes of data files that tunekit trains on."""

_ALSO_NAMED: Mapping[str, Sequence[str]] = {
    "train": ("training",),
    "validation": ("valid", "val", "dev"),
    "test": ("testing", "eval", "evaluation"),
}
"""Other words for a split in names of files: those of the hub."""
_SPLITS = frozenset({*_ALSO_NAMED, *chain(*_ALSO_NAMED.values())})
_Measured: TypeAlias = tuple[str, Row, int]
_CHUNK = 1 << 20
_DECODER = json.JSONDecoder()
_SPACE = re.compile(r"\s*")


def read_rows(path: Path) -> Iterator[tuple[str, Row]]:
    """Each row with its place (`line 3` or `row 3`, counted from 1).

    Raises UsageError for a row that is no object, for broken JSON and for bytes that are not UTF-8.
    """
    return ((place, row) for place, row, _ in read_measured(path))


def read_measured(path: Path) -> Iterator[_Measured]:
    """Each row with its place, and the bytes of the file that the rows up to it take. Raises as `read_rows`."""
    try:
        reader = _reader(path)
        _refuse_wide(path)
        with path.open(encoding="utf-8-sig", newline="") as file:
            yield from reader(path, file)
    except UnicodeDecodeError as error:
        raise _not_utf8(path, f"not UTF-8 text (byte {error.start})", "latin1") from error
    except OSError as error:
        raise UsageError(f"{path}: cannot be read: {error.strerror}") from error
    except RecursionError:
        raise UsageError(f"{path}: holds lists or objects inside each other, too deep to read") from None
    except (ValueError, csv.Error) as error:  # a whole number of thousands of digits, a NUL in a CSV file
        raise UsageError(f"{path}: cannot be read: {error}") from error


def _refuse_wide(path: Path) -> None:
    """Characters of two or four bytes: most of them decode as UTF-8, with a NUL between the letters."""
    with path.open("rb") as file:
        encoding = _wide_encoding(file.read(4))
    if encoding:
        raise _not_utf8(path, f"{encoding[:6].upper()} text", encoding)


def _wide_encoding(head: bytes) -> str | None:
    if head in (codecs.BOM_UTF32_LE, codecs.BOM_UTF32_BE):
        return "utf-32"
    if head.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return "utf-16"
    # Without a mark: the first character is ASCII, a bracket or the first letter of a column.
    zeros = [byte == 0 for byte in head[:2]]
    return "utf-16be" if zeros == [True, False] else "utf-16le" if zeros == [False, True] else None


def _not_utf8(path: Path, what: str, encoding: str) -> UsageError:
    name, new = shlex.quote(path.name), shlex.quote(f"utf8-{path.name}")
    return UsageError(f"{path}: the file is {what}; save it as UTF-8, e.g. iconv -f {encoding} -t utf-8 {name} > {new}")


def ending(path: Path) -> str:
    """The suffix that tells the kind of a data file, whatever its case: `.csv` of `A.CSV`."""
    return path.suffix.lower()


def saved_by_datasets(folder: Path) -> bool:
    """A data set that `save_to_disk` wrote, or several as its splits."""
    return any((folder / name).is_file() for name in ("state.json", "dataset_dict.json"))


def data_files(folder: Path, split: str = "train") -> tuple[Path, ...]:
    """Data files of one kind in `folder`, sorted; those named after `split` where there are any, as the hub names them.

    Raises UsageError when there is none, or when kinds are mixed.
    """
    visible = (path for path in sorted(folder.rglob("*")) if not _hidden(path.relative_to(folder)))
    found = [path for path in visible if ending(path) in SUFFIXES and path.is_file() and not _metadata(path)]
    if not found:
        raise UsageError(f"{folder}: the folder holds no data file; a data file ends with {join_words(SUFFIXES)}")
    named = _named_after(split, {path: (path.stem, *path.relative_to(folder).parts[:-1]) for path in found})
    if not named and split != "train":
        raise UsageError(f"{folder}: no data file is named after the split {split}; found {', '.join(map(str, found))}")
    chosen = named or found
    kinds = sorted({ending(path) for path in chosen})
    if len(kinds) > 1:
        raise UsageError(
            f"{folder}: the folder mixes {join_words(kinds).replace(' or ', ' and ')} files; "
            "name one file in data.path, or keep one kind in the folder"
        )
    return tuple(chosen)


def _named_after(split: str, files: Mapping[Path, Sequence[str]]) -> list[Path]:
    """`train`, `train-00000-of-00001`, `train_1` and what lies in `train/`; else `my_train`; else `training`."""
    starts = ("", r".*[-._ \d]")
    for word, start in product((split, *_ALSO_NAMED.get(split, ())), starts):
        name = re.compile(rf"{start}{re.escape(word)}(set|data)?([-._ \d].*)?", re.IGNORECASE)
        named = [path for path, parts in files.items() if any(name.fullmatch(part) for part in parts)]
        if named:
            return named
    return []


def _hidden(relative: Path) -> bool:
    return any(part.startswith((".", "_")) for part in relative.parts)


def _metadata(path: Path) -> bool:
    # Beside the data of hub repositories and saved data sets.
    return path.name in {"dataset_info.json", "dataset_infos.json", "dataset_dict.json", "state.json"}


def _reader(path: Path) -> Any:
    readers = {".jsonl": _json_lines, ".json": _json, ".csv": _csv}
    reader = readers.get(ending(path))
    if reader is None:
        instead = "; call it .csv: tabs are recognised" if ending(path) in (".tsv", ".tab") else ""
        ends = join_words(SUFFIXES)
        raise UsageError(f"{path}: data.path takes a hub id, a folder, or a file that ends with {ends}{instead}")
    return reader


def _json_lines(path: Path, file: TextIO) -> Iterator[_Measured]:
    taken = 0
    for number, line in enumerate(file, start=1):
        taken += len(line.encode())
        if line.strip():
            place = f"line {number}"
            try:
                value = json.loads(line.rstrip())
            except json.JSONDecodeError as error:
                raise UsageError(
                    f"{path}:{number}: broken JSON at column {error.colno}: {error.msg}; "
                    "JSON Lines holds one whole object per line"
                ) from error
            yield place, _row(value, path, place), taken


def _json(path: Path, file: TextIO) -> Iterator[_Measured]:
    text = _Text(path, file)
    start = text.peek()
    if start == "[":
        yield from _elements(path, text)
    elif start == "{" and _is_whole(_first_line(path)):
        file.seek(0)
        yield from _json_lines(path, file)
    elif start == "{":
        yield from _under_data(path, text)
    elif start:
        raise UsageError(f"{path}: {_EXPECTED}")


_EXPECTED = 'expected a list of objects, an object with a list in "data", or one object per line'


def _elements(path: Path, text: _Text) -> Iterator[_Measured]:
    text.skip()
    yield from _listed(path, text)
    text.skip()
    text.end("list")


def _listed(path: Path, text: _Text) -> Iterator[_Measured]:
    number = 0
    while (start := text.peek()) != "]":
        number += 1
        place = f"row {number}"
        if number > 1:
            if start != ",":
                raise text.broken("expected a comma or the end of the list", place)
            text.skip()
        yield place, _row(text.value(place), path, place), text.taken()


def _first_line(path: Path) -> str:
    with path.open(encoding="utf-8-sig") as file:
        return next((line for line in file if line.strip()), "")


def _is_whole(line: str) -> bool:
    """True where a line is an object by itself and holds no list of rows."""
    try:
        return not isinstance(json.loads(line).get("data"), list)
    except ValueError:
        return False


def _under_data(path: Path, text: _Text) -> Iterator[_Measured]:
    rows = _row(text.value("the object"), path, "the file").get("data")
    text.end("object")
    if not isinstance(rows, list):
        raise UsageError(f'{path}: one object without a list in "data"; {_EXPECTED}')
    whole = path.stat().st_size
    for number, row in enumerate(rows, start=1):
        yield f"row {number}", _row(row, path, f"row {number}"), whole * number // len(rows)


def _csv(path: Path, file: TextIO) -> Iterator[_Measured]:
    csv.field_size_limit(1 << 30)
    delimiter = _delimiter(file)
    lines = _Lines(file)
    reader = csv.DictReader(lines, delimiter=delimiter)
    for row in reader:
        place = f"line {reader.line_num}"
        if None in row:
            wide = len(row) - 1 + len(row[None])
            raise UsageError(
                f"{path}:{reader.line_num}: {wide} values under {len(row) - 1} column names; "
                f"put quotes around a value that holds a {_DELIMITERS[delimiter]}"
            )
        yield place, dict(row), lines.taken


_DELIMITERS = {",": "comma", ";": "semicolon", "\t": "tab"}


def _delimiter(file: TextIO) -> str:
    """What separates the column names of the first line: the comma, unless another one gives more names."""
    header = file.readline()
    file.seek(0)
    return max(_DELIMITERS, key=lambda mark: len(next(csv.reader([header], delimiter=mark), [])))


def _row(value: Any, path: Path, place: str) -> Row:
    if not isinstance(value, dict):
        raise UsageError(f"{path}: {place} is {_kind(value)}, expected an object with named columns")
    if value and value.keys() <= _SPLITS and all(isinstance(rows, list) for rows in value.values()):
        names = tuple(value)
        raise UsageError(
            f"{path}: {place} holds a list of rows for each of the splits {', '.join(names)}; write each list to a "
            f"file of its own, e.g. jq -c '.{names[0]}[]' {shlex.quote(path.name)} > {names[0]}.jsonl, and name it in "
            "data.path or data.eval_path"
        )
    return value


def _kind(value: Any) -> str:
    kinds = {str: "text", bool: "true or false", int: "a number", float: "a number", list: "a list", dict: "an object"}
    return kinds.get(type(value), "null")


class _Lines:
    """Lines of a file, with the bytes of those that were taken."""

    def __init__(self, file: TextIO) -> None:
        self.file = file
        self.taken = 0

    def __iter__(self) -> Iterator[str]:
        for line in self.file:
            self.taken += len(line.encode())
            yield line


class _Text:
    """JSON values out of a text file, read in pieces of a megabyte."""

    def __init__(self, path: Path, file: TextIO) -> None:
        self.path = path
        self.file = file
        self.buffer = ""
        self.at = 0
        self.ended = False
        self._taken = 0
        self._lines = 0
        self._counted = 0

    def peek(self) -> str:
        """The next character that is no space; empty at the end of the file."""
        while True:
            self.at = _SPACE.match(self.buffer, self.at).end()  # type: ignore[union-attr]
            if self.at < len(self.buffer) or self.ended:
                return self.buffer[self.at : self.at + 1]
            self._more()

    def skip(self) -> None:
        """Go past the character that `peek` has just seen."""
        self.at += 1

    def value(self, place: str) -> Any:
        """The next JSON value, reading on until it is whole; raises UsageError where it is broken."""
        self.peek()
        while True:
            try:
                value, end = _DECODER.raw_decode(self.buffer, self.at)
            except json.JSONDecodeError as error:
                if self.ended:
                    raise self.broken(error.msg, place) from error
            else:
                # A number at the very end may go on in the next piece.
                if end < len(self.buffer) or self.ended:
                    self.at = end
                    return value
            self._more()

    def taken(self) -> int:
        """Bytes of the text up to here."""
        passed = self.buffer[self._counted : self.at]
        self._taken += len(passed.encode())
        self._lines += passed.count("\n")
        self._counted = self.at
        return self._taken

    def end(self, what: str) -> None:
        """Raises UsageError where anything stands after `what`, which held all rows."""
        if self.peek():
            self.taken()
            raise UsageError(
                f"{self.path}:{self._lines + 1}: the {what} of rows ends before this, and the rest would be lost; make "
                "one list of all, or keep two files in a folder of their own and name that in data.path"
            )

    def broken(self, message: str, place: str) -> UsageError:
        """The error for JSON that cannot be read."""
        return UsageError(f"{self.path}: {place}: broken JSON: {message}")

    def _more(self) -> None:
        self.taken()
        rest = self.buffer[self.at :]
        # Doubling keeps one large value from being parsed again for every megabyte.
        piece = self.file.read(max(_CHUNK, len(rest)))
        self.ended = not piece
        self.buffer, self.at, self._counted = rest + piece, 0, 0
