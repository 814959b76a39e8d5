"""A drive, for real and short."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tunekit.hardware.probing import Options
from tunekit.probes.speeds import drive
from tunekit.probes.speeds.drive import measure_drive


@pytest.fixture(autouse=True)
def _small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(drive, "LEAST", 2 * drive.BLOCK)


def test_it_writes_reads_and_leaves_nothing(tmp_path: Path) -> None:
    found = measure_drive(Options(seconds=0.0, folder=tmp_path / "cache"))
    assert found["note"].startswith(f"16 MiB in {tmp_path / 'cache'}, ")
    assert found["write_rate"] > 0
    assert found["read_rate"] > 0
    assert list((tmp_path / "cache").iterdir()) == []


def test_nothing_is_left_where_writing_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "writev", full)
    with pytest.raises(OSError, match="No space left"):
        measure_drive(Options(seconds=0.0, folder=tmp_path))
    assert list(tmp_path.iterdir()) == []


def test_a_file_system_without_direct_access_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = os.open

    def refusing(path: str, flags: int, *rest: int) -> int:
        if flags & os.O_DIRECT:
            raise OSError(22, "Invalid argument")
        return real(path, flags, *rest)

    monkeypatch.setattr(os, "open", refusing)
    found = measure_drive(Options(seconds=0.0, folder=tmp_path))
    assert "through the page cache: the file system has no O_DIRECT" in found["note"]


def test_a_nearly_full_drive_is_left_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(drive, "_free", lambda folder: 100 * 2**20)
    with pytest.raises(OSError, match="has less than 160 MiB free"):
        measure_drive(Options(folder=tmp_path))
