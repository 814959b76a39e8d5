"""Are the bytes of a checkpoint those that were written? By checksums: torch itself looks at none."""

from __future__ import annotations

import errno
import zipfile
import zlib
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path, PurePath
from threading import Event
from typing import Any

from tunekit.errors import MissingError
from tunekit.launcher.checkpoint_files import ZIP_FAULTS
from tunekit.launcher.checkpoints import CHECKSUMS, SEAL
from tunekit.launcher.json_lines import read_record
from tunekit.units import MIB, format_bytes

Report = Callable[[str], None]
Damage = Callable[[Path], str | None]
"""What is wrong with the bytes of a checkpoint; None where nothing is."""

_CHUNK = 4 * MIB
_TURN_SECONDS = 0.25
_OUT_OF_REACH = (errno.EACCES, errno.EPERM, errno.ESTALE, errno.ETIMEDOUT, errno.EMFILE, errno.ENFILE, errno.ENOMEM)
"""What says nothing of the file's bytes; a checkpoint that was called damaged would never be used again."""
_State = tuple[tuple[str, int, int], ...]


class _Damaged(Exception):
    """The bytes have another checksum than those that were written."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Proofs:
    """What a command has found out by reading checkpoints, so that it reads each one once."""

    known: dict[tuple[Path, _State], str | None] = field(default_factory=dict)

    def fault(self, folder: Path, *, report: Report) -> str | None:
        """`bytes_fault` of this folder, from memory while its files keep their sizes and times."""
        key = folder, tuple(_seen(_checked(folder)))
        if key not in self.known:
            self.known[key] = bytes_fault(folder, report=report)
        return self.known[key]


def bytes_fault(folder: Path, *, report: Report = lambda text: None) -> str | None:
    """The first file whose bytes changed after they were written; reads all of them, and reports how far it is.

    torch's own files hold checksums, those of safetensors files stand in the seal. Training would go on with other
    weights or states and say nothing. MissingError: a file is out of reach, whatever its bytes are.
    """
    files = _checked(folder)
    total, read, stop = sum(size for _, size, _ in _seen(files)), dict.fromkeys(files, 0), Event()

    def is_damaged(path: Path) -> bool:
        try:
            for size in _pieces(path, files[path]):
                read[path] += size
                if stop.is_set():
                    break
        except OSError as error:
            if error.errno in _OUT_OF_REACH:
                raise MissingError(
                    f"{path} cannot be read ({error.strerror}). Make it readable and try again."
                ) from error
            return True
        except (_Damaged, zlib.error, EOFError, *ZIP_FAULTS):
            return True
        return False

    with ThreadPoolExecutor() as readers:
        found = {path: readers.submit(is_damaged, path) for path in files}
        try:
            while wait(found.values(), timeout=_TURN_SECONDS).not_done:
                report(f"verifying {folder.name}: {format_bytes(sum(read.values()))} of {format_bytes(total)} read")
        finally:
            stop.set()  # Ctrl-C need not wait for the rest
    damaged = next((path for path in files if found[path].result()), None)
    return f"{damaged.relative_to(folder)} is damaged: its bytes changed after the save" if damaged else None


def checksums(folder: Path) -> dict[str, int]:
    """CRC-32 of every safetensors file below `folder` by name, for the seal: 2 GiB/s and more from the page cache."""
    paths = sorted(folder.rglob("*.safetensors"))
    with ThreadPoolExecutor() as readers:
        return {str(path.relative_to(folder)): sum_ for path, sum_ in zip(paths, readers.map(_crc, paths), strict=True)}


def _checked(folder: Path) -> dict[Path, int | None]:
    """Every file that has a checksum, in order; None where it holds its own. A seal speaks of its own folder alone."""
    sealed: Any = (read_record(folder / SEAL) or {}).get(CHECKSUMS)
    files: dict[Path, int | None] = {
        path: None for path in folder.rglob("*") if path.suffix in (".pt", ".pth") and path.is_file()
    }
    if isinstance(sealed, dict):
        files |= {folder / name: number for name, number in sealed.items() if _lies_inside(name)}
    return dict(sorted(files.items()))


def _lies_inside(name: str) -> bool:
    path = PurePath(name)
    return not path.is_absolute() and ".." not in path.parts and path.suffix == ".safetensors"


def _seen(files: Iterable[Path]) -> Iterator[tuple[str, int, int]]:
    """Name, size and time of every file that is there."""
    for path in files:
        with suppress(OSError, ValueError):  # it is not there, or can have no such name
            stat = path.stat()
            yield str(path), stat.st_size, stat.st_mtime_ns


def _pieces(path: Path, checksum: int | None) -> Iterator[int]:
    """The bytes of each piece that was read. Raises where they are not those that were written."""
    if checksum is not None:
        yield from _read(path, checksum)
        return
    with zipfile.ZipFile(path) as archive:  # looks at the checksum of each entry that is read to its end
        for entry in archive.infolist():
            with archive.open(entry) as file:
                while piece := file.read(_CHUNK):
                    yield len(piece)


def _read(path: Path, checksum: int) -> Iterator[int]:
    found = 0
    with path.open("rb") as file:
        while piece := file.read(_CHUNK):
            found = zlib.crc32(piece, found)
            yield len(piece)
    if found != checksum:
        raise _Damaged


def _crc(path: Path) -> int:
    found = 0
    with path.open("rb") as file:
        while piece := file.read(_CHUNK):
            found = zlib.crc32(piece, found)
    return found
