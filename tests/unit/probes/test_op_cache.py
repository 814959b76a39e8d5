from __future__ import annotations

import os

from tunekit.launcher.ops import write_stamp
from tunekit.probes.op_cache import read_nvcc, read_op_cache


def library(folder, op):
    (folder / op).mkdir(parents=True, exist_ok=True)
    (folder / op / f"{op}.so").touch()


def test_an_empty_cache_that_is_not_there(tmp_path):
    found = read_op_cache(tmp_path / "ops")
    assert (found.built, found.foreign, found.stale_locks) == ((), (), ())
    assert found.file_system
    assert not (tmp_path / "ops").exists()


def test_what_is_built_and_for_whom(tmp_path):
    library(tmp_path, "cpu_adam")
    write_stamp(tmp_path, "cpu_adam")
    library(tmp_path, "async_io")
    found = read_op_cache(tmp_path)
    assert (found.built, found.foreign) == (("cpu_adam",), ("async_io",))


def test_a_lock_that_nobody_holds_is_seen_and_stays(tmp_path):
    library(tmp_path, "cpu_adam")
    lock = tmp_path / "cpu_adam" / "lock"
    lock.touch()
    assert read_op_cache(tmp_path).stale_locks == ()
    os.utime(lock, (1, 1))
    assert read_op_cache(tmp_path).stale_locks == (str(lock),)
    assert lock.exists()


def test_the_cuda_compiler(tmp_path):
    nvcc = tmp_path / "bin" / "nvcc"
    nvcc.parent.mkdir()
    nvcc.write_text("#!/bin/sh\necho 'Cuda compilation tools, release 12.8, V12.8.93'\n")
    nvcc.chmod(0o755)
    assert read_nvcc(str(tmp_path)) == "12.8"
    nvcc.write_text("#!/bin/sh\nexit 1\n")
    assert read_nvcc(str(tmp_path)) is None
    assert read_nvcc(str(tmp_path / "none")) is None
    assert read_nvcc(None) is None
