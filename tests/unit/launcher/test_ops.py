from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from types import SimpleNamespace

import pytest

from tests.plans import DUAL_4090, make_job
from tunekit.errors import MissingError
from tunekit.launcher import ops
from tunekit.launcher.ops import (
    EXPECTED_SECONDS,
    build_lock,
    cpu_fingerprint,
    forget_op,
    locked_ops,
    missing_ops,
    needed_ops,
    packages_fingerprint,
    remove_stale_locks,
    write_stamp,
)


@pytest.mark.parametrize(
    ("job", "expected"),
    [
        (make_job(), ("deepspeed_shm_comm",)),
        (make_job(DUAL_4090), ()),
        (make_job(DUAL_4090, zero={"offload_optimizer": "cpu"}), ("cpu_adam",)),
        (make_job(DUAL_4090, zero={"offload_optimizer": "cpu"}, optimizer="lion"), ("cpu_lion",)),
        (make_job(zero={"offload_optimizer": "cpu"}), ("deepspeed_shm_comm", "cpu_adam")),
        (
            make_job(DUAL_4090, zero={"offload_optimizer": "nvme", "offload_param": "nvme"}),
            ("cpu_adam", "pin_memory", "async_io"),
        ),
        (make_job(DUAL_4090, zero={"offload_param": "cpu"}), ()),
    ],
)
def test_what_a_job_needs(job, expected):
    assert needed_ops(job) == expected
    assert set(expected) <= set(EXPECTED_SECONDS)


def test_exact_pinning_needs_its_op():
    assert needed_ops(make_job(DUAL_4090, zero={"offload_optimizer": "cpu"}), pins_exactly=True) == (
        "cpu_adam",
        "pin_memory",
    )


def build(folder, op):
    (folder / op).mkdir()
    (folder / op / f"{op}.so").write_bytes(b"ELF")
    write_stamp(folder, op)


def test_built_ops_are_not_built_again(tmp_path):
    wanted = ("cpu_adam", "async_io")
    assert missing_ops(tmp_path, wanted) == wanted
    build(tmp_path, "cpu_adam")
    assert missing_ops(tmp_path, wanted) == ("async_io",)
    build(tmp_path, "async_io")
    assert missing_ops(tmp_path, wanted) == ()


def test_a_stamp_without_its_library_counts_for_nothing(tmp_path):
    write_stamp(tmp_path, "cpu_adam")
    assert missing_ops(tmp_path, ("cpu_adam",)) == ("cpu_adam",)


def test_an_op_of_another_processor_is_built_again(tmp_path):
    build(tmp_path, "cpu_adam")
    stamps = tmp_path / "tunekit_ops.json"
    stamps.write_text(stamps.read_text().replace(cpu_fingerprint(), "another"))
    assert missing_ops(tmp_path, ("cpu_adam",)) == ("cpu_adam",)


def test_objects_of_another_processor_go_and_those_of_this_one_are_linked_anew(tmp_path):
    for op in ("cpu_adam", "async_io"):
        build(tmp_path, op)
        (tmp_path / op / "a.o").touch()
    stamps = tmp_path / "tunekit_ops.json"
    told = json.loads(stamps.read_text())
    stamps.write_text(json.dumps({**told, "async_io": "another 3"}))
    for op in told:
        forget_op(tmp_path, op)
    assert [path.name for path in tmp_path.rglob("*") if path.is_file() and path != stamps] == ["a.o"]
    assert not (tmp_path / "async_io").exists()


def test_an_op_of_packages_installed_before_is_built_again(tmp_path, monkeypatch):
    def install(moment):
        for name in ("torch", "deepspeed"):
            (tmp_path / name).mkdir(exist_ok=True)
            (tmp_path / name / "__init__.py").touch()
            os.utime(tmp_path / name / "__init__.py", (moment, moment))

    monkeypatch.setattr(ops, "find_spec", lambda name: SimpleNamespace(origin=str(tmp_path / name / "__init__.py")))
    install(1000)
    build(tmp_path, "cpu_adam")
    (tmp_path / "cpu_adam" / "a.o").touch()
    assert missing_ops(tmp_path, ("cpu_adam",)) == ()
    install(2000)
    assert missing_ops(tmp_path, ("cpu_adam",)) == ("cpu_adam",)
    forget_op(tmp_path, "cpu_adam")
    assert not (tmp_path / "cpu_adam").exists()


def test_without_the_packages_there_is_a_fingerprint_too():
    assert packages_fingerprint(("no_such_package",)) != packages_fingerprint(("pytest",))


def test_fingerprint_is_of_the_instruction_sets(tmp_path):
    def of(text):
        path = tmp_path / "cpuinfo"
        path.write_text(text)
        return cpu_fingerprint(path)

    first = of("model name : A\nflags : avx2 sse fma\n")
    assert first == of("model name : B\nflags : fma avx2 sse\n")
    assert first != of("flags : avx2 sse fma avx512f\n")


def test_only_stale_locks_are_removed(tmp_path):
    now = time.time()
    for op, age in (("old", 3600), ("fresh", 1)):
        (tmp_path / op).mkdir()
        (tmp_path / op / "lock").touch()
        os.utime(tmp_path / op / "lock", (now - age, now - age))
    assert remove_stale_locks(tmp_path, now=now) == (tmp_path / "old" / "lock",)
    assert (tmp_path / "fresh" / "lock").exists()


def test_a_lock_is_seen_whether_its_op_is_built_or_not(tmp_path):
    for op in ("built", "locked"):
        (tmp_path / op).mkdir()
    (tmp_path / "locked" / "lock").touch()
    assert locked_ops(tmp_path, ("built", "locked", "absent")) == ("locked",)


def test_a_lock_whose_builder_works_stays(tmp_path):
    (tmp_path / "op").mkdir()
    lock = tmp_path / "op" / "lock"
    lock.touch()
    builder = subprocess.Popen(
        [sys.executable, "-c", "print(1, flush=True); input()"],
        cwd=tmp_path / "op",
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    try:
        builder.stdout.readline()
        assert remove_stale_locks(tmp_path, now=time.time() + 3600) == ()
    finally:
        builder.communicate(b"\n")
    assert remove_stale_locks(tmp_path, now=time.time() + 3600) == (lock,)


def test_one_builder_at_a_time(tmp_path):
    code = "import fcntl,sys\nhandle=open(sys.argv[1],'a')\nfcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)\n"
    attempt = [sys.executable, "-c", code, str(tmp_path / ".tunekit.lock")]
    with build_lock(tmp_path):
        assert subprocess.run(attempt, capture_output=True, check=False).returncode != 0
    assert subprocess.run(attempt, capture_output=True, check=False).returncode == 0


def test_a_folder_that_cannot_be_made(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(MissingError, match="TORCH_EXTENSIONS_DIR"), build_lock(tmp_path / "file" / "ops"):
        pass
