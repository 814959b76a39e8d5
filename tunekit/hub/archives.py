"""Archives among the files of a data set: refused where unpacking them could fill the drive or leave the folder."""

from __future__ import annotations

import gzip
import os
import struct
import zipfile
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import BinaryIO

from tunekit.errors import UsageError
from tunekit.units import GIB, KIB, format_bytes

MOST_ENTRIES = 100_000
MOST_GROWTH = 100
"""Times its own size that an archive may unpack to; rows of text come to ten."""
SMALL_BYTES = GIB
"""A .zip or .zst that unpacks to no more than this may do so."""
_CHUNK, _SAMPLE_CHUNKS = 2**20, 64


def check_archives(folder: Path) -> None:
    """UsageError: an archive below `folder` that is damaged, names files outside, or unpacks to too much.

    Whatever its name is: `datasets` unpacks what begins like an archive, or ends like a .zip (5.2 `extract.py`).
    """
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        fault = next((fault for look in _looks(path) if (fault := look(path)) is not None), None)
        if fault is not None:
            raise UsageError(f"{path} is not unpacked: {fault}. Unpack it yourself, and set data.path to a file of it.")


def _looks(path: Path) -> Iterable[Callable[[Path], str | None]]:
    with path.open("rb") as file:
        start = file.read(_MAGIC_BYTES)
    looks = {look for magic, look in _STARTS.items() if start.startswith(magic)}
    if zipfile.is_zipfile(path):
        looks.add(zip_fault)
    return looks or {look for end, look in _LOOKS.items() if path.suffix.lower() == end}


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


def zstd_fault(path: Path) -> str | None:
    """Why a .zst must not be unpacked, from the headers of its blocks, which unpack to 128 KiB at most (RFC 8878)."""
    try:
        with path.open("rb") as file:
            unpacked = sum(_frames(file))
    except (OSError, struct.error, ValueError) as error:
        return f"it is no whole zstd file ({error})"
    size = path.stat().st_size
    if unpacked > max(SMALL_BYTES, MOST_GROWTH * size):
        return f"it has {format_bytes(size)} and may unpack to {format_bytes(unpacked)}"
    return None


def _frames(file: BinaryIO) -> Iterator[int]:
    """The most bytes that each block of each frame unpacks to. ValueError: it is something else, or cut off."""
    end = file.seek(0, os.SEEK_END)
    file.seek(0)
    while file.tell() < end:
        (magic,) = struct.unpack("<I", file.read(4))
        if magic & ~0xF == _SKIPPED_FRAME:
            file.seek(struct.unpack("<I", file.read(4))[0], os.SEEK_CUR)
        elif magic == _FRAME:
            (about,) = file.read(1) or b"\0"
            alone = about >> 5 & 1
            file.seek((1 - alone) + (0, 1, 2, 4)[about & 3] + (alone, 2, 4, 8)[about >> 6], os.SEEK_CUR)
            yield from _blocks(file)
            file.seek(4 * (about >> 2 & 1), os.SEEK_CUR)
        else:
            raise ValueError("unknown frame")
    if file.tell() > end:
        raise ValueError("cut off")


def _blocks(file: BinaryIO) -> Iterator[int]:
    last = 0
    while not last:
        low, high = struct.unpack("<HB", file.read(3))
        header = low | high << 16
        last, kind, size = header & 1, header >> 1 & 3, header >> 3
        if kind == _RESERVED:
            raise ValueError("unknown block")
        yield _BLOCK_BYTES if kind == _COMPRESSED else size
        file.seek(1 if kind == _REPEATED else size, os.SEEK_CUR)


_FRAME, _SKIPPED_FRAME = 0xFD2FB528, 0x184D2A50
_REPEATED, _COMPRESSED, _RESERVED = 1, 2, 3
_BLOCK_BYTES = 128 * KIB


def _unknown(_: Path) -> str:
    return "it is an archive of another kind than .zip, .gz and .zst"


_LOOKS: Mapping[str, Callable[[Path], str | None]] = {".zip": zip_fault, ".gz": gzip_fault, ".zst": zstd_fault}
_STARTS: Mapping[bytes, Callable[[Path], str | None]] = {
    b"PK\x03\x04": zip_fault,
    b"\x1f\x8b": gzip_fault,
    b"\x28\xb5\x2f\xfd": zstd_fault,
    b"\xfd7zXZ\0": _unknown,
    b"BZh": _unknown,
    b"Rar!\x1a\x07": _unknown,
    b"7z\xbc\xaf\x27\x1c": _unknown,
    b"\x04\x22\x4d\x18": _unknown,
}
_MAGIC_BYTES = max(map(len, _STARTS))


def _leads_outside(name: str) -> bool:
    parts = PurePosixPath(name.replace("\\", "/"))
    return parts.is_absolute() or ".." in parts.parts or ":" in name.split("/")[0]
