"""Archives among the files of a data set: refused where unpacking them could fill the drive or leave the folder."""

from __future__ import annotations

import gzip
import zipfile
import zlib
from collections.abc import Callable, Mapping
from pathlib import Path, PurePosixPath

from tunekit.errors import UsageError
from tunekit.units import GIB, format_bytes

MOST_ENTRIES = 100_000
MOST_GROWTH = 100
"""Times its own size that an archive may unpack to; rows of text come to ten."""
SMALL_BYTES = GIB
"""A .zip that unpacks to no more than this may do so."""
_CHUNK, _SAMPLE_CHUNKS = 2**20, 64


def check_archives(folder: Path) -> None:
    """UsageError: a .zip or .gz below `folder` that is damaged, names files outside, or unpacks to too much."""
    for path in sorted(path for end in _LOOKS for path in folder.rglob(f"*{end}")):
        fault = _LOOKS[path.suffix](path)
        if fault is not None:
            raise UsageError(f"{path} is not unpacked: {fault}. Unpack it yourself, and set data.path to a file of it.")


def zip_fault(path: Path) -> str | None:
    """Why a .zip must not be unpacked, from its table of contents alone; None where it may be."""
    try:
        with zipfile.ZipFile(path) as archive:
            entries = archive.infolist()
    except (OSError, zipfile.BadZipFile, ValueError, NotImplementedError) as error:
        return f"it is no whole zip archive ({error})"
    if len(entries) > MOST_ENTRIES:
        return f"it holds {len(entries):,} files"
    outside = next((entry.filename for entry in entries if _leads_outside(entry.filename)), None)
    if outside is not None:
        return f"it holds {outside[:80]!r}, which lies outside"
    unpacked = sum(entry.file_size for entry in entries)
    if unpacked > max(SMALL_BYTES, MOST_GROWTH * path.stat().st_size):
        return f"it has {format_bytes(path.stat().st_size)} and says that it unpacks to {format_bytes(unpacked)}"
    return None


def gzip_fault(path: Path) -> str | None:
    """Why a .gz must not be unpacked, from its first part; None where it may be."""
    try:
        with path.open("rb") as packed, gzip.open(packed) as file:
            unpacked = sum(len(file.read(_CHUNK)) for _ in range(_SAMPLE_CHUNKS))
            read = packed.tell()
    except (OSError, EOFError, zlib.error) as error:
        return f"it is no whole gzip file ({error})"
    if unpacked > MOST_GROWTH * read:
        return f"{format_bytes(read)} of it unpack to {format_bytes(unpacked)}"
    return None


_LOOKS: Mapping[str, Callable[[Path], str | None]] = {".zip": zip_fault, ".gz": gzip_fault}


def _leads_outside(name: str) -> bool:
    parts = PurePosixPath(name.replace("\\", "/"))
    return parts.is_absolute() or ".." in parts.parts or ":" in name.split("/")[0]
