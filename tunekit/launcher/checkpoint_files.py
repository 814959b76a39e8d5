"""Is a file of a checkpoint whole? Told from its table of contents, without torch and without reading its tensors."""

from __future__ import annotations

import json
import struct
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

ZIP_FAULTS = (zipfile.BadZipFile, RuntimeError, ValueError)
"""What zipfile raises for a damaged file: also "is encrypted", "zip file version 6.4", and names that are no text."""
_PREFIX_BYTES = 8


def file_fault(path: Path) -> str | None:
    """What is wrong with one file: `is cut off`, `holds empty tensors`, …; None where nothing is."""
    try:
        if path.suffix in (".pt", ".pth"):
            return None if _zip_is_whole(path) else "is cut off"
        if path.suffix == ".safetensors":
            return _safetensors_fault(path)
    except OSError as error:
        return f"cannot be read ({error.strerror})"
    return None


def size_fault(folder: Path, sizes: Mapping[str, int]) -> str | None:
    """The first file that is not there with the bytes it was sealed with, or None."""
    for name, size in sizes.items():
        try:
            found = (folder / name).stat().st_size
        except OSError:
            return f"{name} is missing"
        if found != size:
            return f"{name} has {found:,} bytes, {size:,} were written"
    return None


def safetensors_is_whole(path: Path) -> bool:
    """Whether the file is as long as its header says (8 bytes of length, JSON with the offsets, the tensors)."""
    return read_header(path) is not None


def read_header(path: Path) -> dict[str, Any] | None:
    """Entry by tensor of a whole safetensors file; None where it is cut off or is no such file."""
    size = path.stat().st_size
    with path.open("rb") as file:
        prefix = file.read(_PREFIX_BYTES)
        if len(prefix) < _PREFIX_BYTES:
            return None
        length = struct.unpack("<Q", prefix)[0]
        if length > size - _PREFIX_BYTES:
            return None
        header = _parsed(file.read(length))
    if not isinstance(header, dict):
        return None
    header.pop("__metadata__", None)
    try:
        ends = [int(entry["data_offsets"][1]) for entry in header.values()]
    except (TypeError, KeyError, IndexError, ValueError):
        return None
    return header if size == _PREFIX_BYTES + length + max(ends, default=0) else None


def _safetensors_fault(path: Path) -> str | None:
    header = read_header(path)
    if header is None:
        return "is cut off"
    empty = [name for name, entry in header.items() if 0 in entry.get("shape", ())]
    if not header:
        return "holds no tensor"
    return f"holds empty tensors, first {empty[0]}: ZeRO-3's placeholders were saved" if empty else None


def _zip_is_whole(path: Path) -> bool:
    """Whether the directory at the end of the zip file is there, and every entry lies inside the file."""
    size = path.stat().st_size
    try:
        with zipfile.ZipFile(path) as archive:
            entries = archive.infolist()
    except ZIP_FAULTS:
        return False
    return bool(entries) and all(entry.header_offset + entry.compress_size <= size for entry in entries)


def _parsed(text: bytes) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return None
