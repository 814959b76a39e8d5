from __future__ import annotations

import bz2
import gzip
import lzma
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from tunekit.errors import UsageError
from tunekit.hub import archives
from tunekit.hub.archives import check_archives, gzip_fault, zip_fault, zstd_fault


def write_zip(path: Path, entries: dict[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in entries.items():
            archive.writestr(name, content)
    return path


def test_rows_in_archives_are_taken(tmp_path: Path) -> None:
    write_zip(tmp_path / "a.zip", {"rows/train.jsonl": b'{"text": "x"}\n' * 50})
    (tmp_path / "b.jsonl.gz").write_bytes(gzip.compress(b"".join(b'{"text": "%d"}\n' % i for i in range(5000))))
    check_archives(tmp_path)


@pytest.mark.parametrize("name", ["../out.txt", "/etc/cron.d/x", "a/../../x", "..\\..\\x", "C:\\x"])
def test_a_name_outside_is_refused(tmp_path: Path, name: str) -> None:
    write_zip(tmp_path / "a.zip", {name: b"x"})
    with pytest.raises(UsageError, match=r"a\.zip is not unpacked: it holds .*, which lies outside"):
        check_archives(tmp_path)


def test_a_bomb_is_told_from_its_table_of_contents(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archives, "SMALL_BYTES", 1000)
    fault = zip_fault(write_zip(tmp_path / "a.zip", {"zeros": bytes(10**6)}))
    assert fault is not None
    assert "says that it unpacks to 977 KiB" in fault


def test_too_many_files_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archives, "MOST_ENTRIES", 2)
    assert zip_fault(write_zip(tmp_path / "a.zip", {"a": b"", "b": b"", "c": b""})) == "it holds 3 files"


def test_a_gzip_bomb_is_told_from_its_first_part(tmp_path: Path) -> None:
    (tmp_path / "a.gz").write_bytes(gzip.compress(bytes(200 * 2**20), compresslevel=1))
    fault = gzip_fault(tmp_path / "a.gz")
    assert fault is not None
    assert "unpack to 64 MiB" in fault


@pytest.mark.parametrize("name", ["rows.jsonl", "rows.jsonl.GZ", "rows.txt"])
def test_a_bomb_is_known_by_its_bytes_and_not_by_its_name(tmp_path: Path, name: str) -> None:
    """`datasets` unpacks by these bytes: https://github.com/huggingface/datasets, utils/extract.py."""
    (tmp_path / name).write_bytes(gzip.compress(bytes(200 * 2**20), compresslevel=1))
    with pytest.raises(UsageError, match="unpack to 64 MiB"):
        check_archives(tmp_path)


def test_a_zip_behind_the_beginning_of_something_else_is_looked_into(tmp_path: Path) -> None:
    archive = write_zip(tmp_path / "a", {"../out.txt": b"x"}).read_bytes()
    (tmp_path / "a").write_bytes(b'{"text": "x"}\n' + archive)
    with pytest.raises(UsageError, match="which lies outside"):
        check_archives(tmp_path)


@pytest.mark.parametrize("pack", [lzma.compress, bz2.compress])
def test_archives_that_nobody_can_look_into_are_refused(tmp_path: Path, pack: Callable[[bytes], bytes]) -> None:
    (tmp_path / "rows.jsonl").write_bytes(pack(b'{"text": "x"}\n'))
    with pytest.raises(UsageError, match="an archive of another kind"):
        check_archives(tmp_path)


@pytest.mark.parametrize("name", ["a.zip", "a.gz", "a.zst"])
def test_what_is_damaged_is_said_to_be(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(b"PK\x03\x04 no archive")
    with pytest.raises(UsageError, match="it is no whole (zip archive|gzip file|zstd file)"):
        check_archives(tmp_path)


FRAME = bytes.fromhex("28b52ffd")
SKIPPED = bytes.fromhex("502a4d18") + (3).to_bytes(4, "little") + b"abc"


def block(kind: int, size: int, *, last: bool = False) -> bytes:
    return (last | kind << 1 | size << 3).to_bytes(3, "little")


def frame(blocks: bytes) -> bytes:
    """A frame of one segment, with a checksum and a size of 8 bytes."""
    return FRAME + bytes([0xE4]) + bytes(8) + blocks + b"\0\1\2\3"


def test_a_zst_is_read_block_by_block(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "rows.jsonl.zst"
    path.write_bytes(SKIPPED + frame(block(0, 5) + b"abcde" + block(1, 7, last=True) + b"x") * 2)
    assert zstd_fault(path) is None
    monkeypatch.setattr(archives, "SMALL_BYTES", 1000)
    path.write_bytes(SKIPPED + frame((block(2, 9) + bytes(9)) * 40 + block(1, 3, last=True) + b"x"))
    with pytest.raises(UsageError, match=r"rows\.jsonl\.zst is not unpacked: it has .* and may unpack to 5 MiB"):
        check_archives(tmp_path)


@pytest.mark.parametrize(
    "content", [FRAME, frame(block(3, 1, last=True)), frame(block(0, 99, last=True)), frame(block(0, 1)), SKIPPED[:-2]]
)
def test_a_zst_that_is_cut_off_or_strange_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a.zst").write_bytes(content)
    assert "it is no whole zstd file" in str(zstd_fault(tmp_path / "a.zst"))
