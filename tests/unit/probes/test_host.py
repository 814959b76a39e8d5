"""RAM within a cgroup, drives and limits, read from folders that look like /proc and /sys/fs/cgroup."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
from pathlib import Path

import pytest

from tunekit.probes.host import (
    address_space_bytes,
    drive_of,
    memlock_bytes,
    read_cores,
    read_cpu_name,
    read_drive,
    read_drives,
    read_memory,
    read_swap,
    read_vector_bits,
    shm_free_bytes,
)
from tunekit.units import GIB, KIB

TOTAL, AVAILABLE = 64 * GIB, 40 * GIB


def write(path: Path, text: object) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"{text}\n", encoding="utf-8")


@pytest.fixture
def proc(tmp_path: Path) -> Path:
    folder = tmp_path / "proc"
    lines = f"MemTotal: {TOTAL // KIB} kB\nMemFree: 100 kB\nMemAvailable: {AVAILABLE // KIB} kB\nHugePages_Total: 0"
    write(folder / "meminfo", lines)
    write(folder / "self" / "cgroup", "0::/")
    return folder


def test_no_limit(proc: Path, tmp_path: Path) -> None:
    write(tmp_path / "cgroup" / "memory.max", "max")
    memory = read_memory(proc, tmp_path / "cgroup")
    assert (memory.total, memory.available, memory.limit) == (TOTAL, AVAILABLE, None)


def test_a_containers_limit(proc: Path, tmp_path: Path) -> None:
    root = tmp_path / "cgroup"
    write(root / "memory.max", 16 * GIB)
    write(root / "memory.current", 6 * GIB)
    write(root / "memory.stat", f"anon 5\ninactive_file {2 * GIB}")
    memory = read_memory(proc, root)
    assert (memory.total, memory.limit) == (16 * GIB, 16 * GIB)
    # 4 GiB are used: cache that can be dropped does not count.
    assert memory.available == 12 * GIB
    assert memory.used == 4 * GIB


def test_swap_is_what_the_cgroup_allows(proc: Path, tmp_path: Path) -> None:
    root = tmp_path / "cgroup"
    assert (read_swap(proc, root).total, read_swap(proc, root).free) == (0, 0)
    with (proc / "meminfo").open("a") as file:
        file.write(f"SwapTotal: {8 * GIB // KIB} kB\nSwapFree: {6 * GIB // KIB} kB\n")
    assert (read_swap(proc, root).total, read_swap(proc, root).free) == (8 * GIB, 6 * GIB)
    write(root / "memory.swap.max", 2 * GIB)
    write(root / "memory.swap.current", GIB)
    assert (read_swap(proc, root).total, read_swap(proc, root).free) == (2 * GIB, GIB)
    write(root / "memory.swap.max", "max")
    assert read_swap(proc, root).free == 6 * GIB


def test_a_limit_further_up_counts_too(proc: Path, tmp_path: Path) -> None:
    root = tmp_path / "cgroup"
    write(proc / "self" / "cgroup", "0::/user.slice/job")
    write(root / "user.slice" / "job" / "memory.max", "max")
    write(root / "user.slice" / "memory.max", 8 * GIB)
    memory = read_memory(proc, root)
    assert memory.total == memory.available == 8 * GIB


def test_version_one(proc: Path, tmp_path: Path) -> None:
    root = tmp_path / "cgroup"
    write(proc / "self" / "cgroup", "5:cpu,cpuacct:/x\n4:memory:/docker/abc\n0::/")
    write(root / "memory" / "docker" / "abc" / "memory.limit_in_bytes", 4 * GIB)
    write(root / "memory" / "docker" / "abc" / "memory.usage_in_bytes", GIB)
    write(root / "memory" / "memory.limit_in_bytes", 2**63 - 4096)
    memory = read_memory(proc, root)
    assert (memory.limit, memory.available) == (4 * GIB, 3 * GIB)


def test_a_limit_above_the_ram_changes_nothing(proc: Path, tmp_path: Path) -> None:
    write(tmp_path / "cgroup" / "memory.max", 1000 * GIB)
    memory = read_memory(proc, tmp_path / "cgroup")
    assert (memory.total, memory.available) == (TOTAL, AVAILABLE)


def test_the_processor(tmp_path: Path) -> None:
    write(tmp_path / "cpuinfo", "processor : 0\nmodel name\t: AMD Ryzen 9 7900X 12-Core Processor\n")
    assert read_cpu_name(tmp_path) == "AMD Ryzen 9 7900X 12-Core Processor"
    assert read_cpu_name(tmp_path / "nowhere") == "unknown CPU"


@pytest.mark.parametrize(("flags", "bits"), [("sse2 avx avx2", 256), ("avx2 avx512f avx512bw", 512), ("sse2 avx", 128)])
def test_the_width_of_vector_instructions(tmp_path: Path, flags: str, bits: int) -> None:
    (tmp_path / "cpuinfo").write_text(f"processor : 0\nflags\t\t: fpu {flags}\n", encoding="utf-8")
    assert read_vector_bits(tmp_path) == bits
    assert read_vector_bits(tmp_path / "nowhere") == 128


def test_cores_stay_within_what_may_be_used() -> None:
    assert 1 <= read_cores() <= len(os.sched_getaffinity(0))


def test_the_drive_of_a_folder_that_does_not_exist_yet(tmp_path: Path) -> None:
    drive = read_drive(tmp_path / "runs" / "new")
    assert drive.path == str(tmp_path)
    assert 0 < drive.free <= drive.total


def test_the_asked_for_drive_comes_first_and_once(tmp_path: Path) -> None:
    drives = read_drives(tmp_path)
    assert drives[0].device == tmp_path.stat().st_dev
    assert len({drive.device for drive in drives}) == len(drives)


def test_shared_memory(tmp_path: Path) -> None:
    assert shm_free_bytes(tmp_path) > 0
    assert shm_free_bytes(tmp_path / "none") == 0


def test_lockable_memory_is_the_soft_limit() -> None:
    soft, _ = resource.getrlimit(resource.RLIMIT_MEMLOCK)
    assert memlock_bytes() == (None if soft == resource.RLIM_INFINITY else soft)


def test_which_folder_lies_on_the_drive(tmp_path: Path) -> None:
    assert drive_of(tmp_path / "not" / "there", ("/proc", str(tmp_path), "/")) == str(tmp_path)
    assert drive_of(tmp_path, ("/proc", "/nowhere")) is None


def test_what_a_process_may_map_is_the_soft_limit() -> None:
    limited = "import resource; resource.setrlimit(resource.RLIMIT_AS, (1 << 40, 1 << 40)); "
    asked = "from tunekit.probes.host import address_space_bytes; print(address_space_bytes())"
    assert subprocess.check_output([sys.executable, "-c", limited + asked], text=True).strip() == str(1 << 40)
    soft, _ = resource.getrlimit(resource.RLIMIT_AS)
    assert address_space_bytes() == (None if soft == resource.RLIM_INFINITY else soft)
