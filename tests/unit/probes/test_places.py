from __future__ import annotations

import os
from pathlib import Path
from types import SimpleNamespace

import psutil
import pytest

from tunekit.probes import places
from tunekit.probes.places import file_system_of, read_host_memory, read_places, takes_direct
from tunekit.units import GIB


def test_a_folder_that_is_not_there_yet(tmp_path):
    (place,) = read_places([("output", tmp_path / "runs" / "first")])
    assert (place.what, place.path) == ("output", str(tmp_path / "runs" / "first"))
    assert place.free_bytes > 0
    assert place.file_system == file_system_of(str(tmp_path))
    assert place.direct is None
    assert not (tmp_path / "runs").exists()


def test_direct_access_is_tried_where_it_is_asked_for_and_leaves_nothing(tmp_path):
    (place,) = read_places([("swap files", tmp_path)], direct=frozenset({"swap files"}))
    assert place.direct in (True, False)
    assert list(tmp_path.iterdir()) == []


def test_a_file_system_that_counts_no_inodes(tmp_path, monkeypatch):
    counts = os.statvfs(tmp_path)
    values = {name: getattr(counts, name) for name in dir(counts) if name.startswith("f_")}
    monkeypatch.setattr(os, "statvfs", lambda path: SimpleNamespace(**{**values, "f_files": 0}))
    assert read_places([("output", tmp_path)])[0].free_inodes is None


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_that_cannot_be_written_tells_nothing_of_direct_access(tmp_path):
    tmp_path.chmod(0o500)
    assert takes_direct(str(tmp_path)) is None


def test_the_innermost_mount_counts(monkeypatch):
    mounts = [("/", "ext4"), ("/data", "xfs"), ("/data/swap", "tmpfs"), ("/database", "nfs4")]
    parts = [SimpleNamespace(mountpoint=point, fstype=kind) for point, kind in mounts]
    monkeypatch.setattr(psutil, "disk_partitions", lambda all: parts)
    assert [file_system_of(path) for path in ("/data/runs", "/data/swap/x", "/home", "/data")] == [
        "xfs",
        "tmpfs",
        "ext4",
        "xfs",
    ]


def test_memory_of_this_machine(monkeypatch):
    monkeypatch.setattr(places, "address_space_bytes", lambda: 5 * GIB)
    memory = read_host_memory()
    assert memory.address_space == 5 * GIB
    assert 0 < memory.available <= memory.total
    assert memory.swap_free <= memory.swap_total
    assert memory.shm_free <= memory.shm_total
    assert memory.shm_total > 0 or not Path("/dev/shm").is_dir()
