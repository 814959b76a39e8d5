"""DeepSpeed's compiled ops: which ones a job needs, and whether they are built for this machine. Imports no torch."""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import sha256
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from tunekit.errors import MissingError
from tunekit.recipe.job import Job
from tunekit.units import MIB

BUILD_BYTES = 512 * MIB
"""Free space asked for before a build: async_io alone leaves 130 MiB of objects (measured, DeepSpeed 0.19.8)."""

EXPECTED_SECONDS = {"deepspeed_shm_comm": 30, "cpu_adam": 50, "cpu_lion": 50, "async_io": 180, "pin_memory": 20}
"""Build times on two cores, measured with DeepSpeed 0.19.8 and g++ 12; said to the user beforehand."""

_STAMPS = "tunekit_ops.json"
_LOCK = ".tunekit.lock"
_FRESH_SECONDS = 20.0


def needed_ops(job: Job, *, pins_exactly: bool = False) -> tuple[str, ...]:
    """Names of the ops, as DeepSpeed names their build folders, in the order they are built."""
    zero = job.zero
    nvme = "nvme" in (zero.offload_optimizer, zero.offload_param)
    wanted = (
        ("deepspeed_shm_comm", job.accelerator == "cpu" and job.batch.world_size > 1),
        ("cpu_adam", zero.offload_optimizer != "none" and job.optimizer != "lion"),
        ("cpu_lion", zero.offload_optimizer != "none" and job.optimizer == "lion"),
        ("pin_memory", nvme or pins_exactly),
        ("async_io", nvme),
    )
    return tuple(name for name, needed in wanted if needed)


def missing_ops(folder: Path, ops: tuple[str, ...]) -> tuple[str, ...]:
    """Those of `ops` without a whole library in `folder` that was built on this processor, from these packages."""
    stamps = _read_stamps(folder)
    built = {op: _stamp(library(folder, op)) for op in ops}
    return tuple(op for op in ops if built[op] is None or stamps.get(op) != built[op])


def library(folder: Path, op: str) -> Path:
    """The shared library of an op."""
    return folder / op / f"{op}.so"


def forget_op(folder: Path, op: str) -> None:
    """Take away what ninja would take for built: a library, whole or cut off, and all that was not built here."""
    stamp = _read_stamps(folder).get(op)
    if isinstance(stamp, str) and not stamp.startswith(_here()):
        shutil.rmtree(folder / op, ignore_errors=True)
    library(folder, op).unlink(missing_ok=True)


def write_stamp(folder: Path, op: str) -> None:
    """Record that `op` was built and loaded here; called by the preparation process inside `build_lock`."""
    stamps = {**_read_stamps(folder), op: _stamp(library(folder, op))}
    temporary = folder / f"{_STAMPS}.{os.getpid()}"
    temporary.write_text(json.dumps(stamps, indent=2, sort_keys=True) + "\n")
    temporary.replace(folder / _STAMPS)


def _stamp(path: Path) -> str | None:
    """Where a library was built, and its bytes: who loads one that is cut off dies of SIGBUS. None: there is none."""
    return f"{_here()} {path.stat().st_size}" if path.is_file() else None


def _here() -> str:
    return f"{cpu_fingerprint()} {packages_fingerprint()}"


def cpu_fingerprint(cpuinfo: Path = Path("/proc/cpuinfo")) -> str:
    """Hash of the processor's instruction sets: ops are built with -march=native and crash on another processor."""
    lines = cpuinfo.read_text().splitlines() if cpuinfo.is_file() else []
    flags = next((line for line in lines if line.startswith(("flags", "Features"))), "")
    return sha256(" ".join(sorted(flags.partition(":")[2].split())).encode()).hexdigest()[:16]


def packages_fingerprint(names: tuple[str, ...] = ("torch", "deepspeed")) -> str:
    """Hash of when the packages were installed.

    In an environment made anew, at the same path and of the same versions, the sources are younger than the ops, and
    every rank that loads one would compile it.
    """
    specs = (find_spec(name) for name in names)
    times = [Path(spec.origin).stat().st_mtime_ns if spec and spec.origin else 0 for spec in specs]
    return sha256(repr(times).encode()).hexdigest()[:16]


@contextmanager
def build_lock(folder: Path) -> Iterator[None]:
    """Hold the folder for one builder; others wait. The kernel drops the lock when its holder dies.

    MissingError: the folder cannot be written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        handle = (folder / _LOCK).open("a")
    except OSError as error:
        raise MissingError(
            f"{folder}: cannot be written ({error.strerror}); set TORCH_EXTENSIONS_DIR to a folder of your own."
        ) from error
    with handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield


def remove_stale_locks(folder: Path, *, now: float | None = None) -> tuple[Path, ...]:
    """Remove torch's lock files left by builders that were killed; torch would wait for them for ever.

    A lock is stale when no process works in the op's folder (ninja does while it builds) and it is not brand new.
    Call inside `build_lock`, which keeps other tunekit processes out.
    """
    stale = stale_locks(folder, now=now)
    for lock in stale:
        lock.unlink(missing_ok=True)
    return stale


def locked_ops(folder: Path, ops: tuple[str, ...]) -> tuple[str, ...]:
    """Those of `ops` whose lock lies in `folder`: of a builder that works, or of one that was killed."""
    return tuple(op for op in ops if (folder / op / "lock").exists())


def stale_locks(folder: Path, *, now: float | None = None) -> tuple[Path, ...]:
    """Torch's lock files that nobody holds any more; they stay where they are."""
    moment = time.time() if now is None else now
    return tuple(lock for lock in sorted(folder.glob("*/lock")) if _is_stale(lock, moment))


def _is_stale(lock: Path, now: float) -> bool:
    return now - lock.stat().st_mtime > _FRESH_SECONDS and not _someone_works_in(lock.parent)


def _someone_works_in(folder: Path) -> bool:
    for link in Path("/proc").glob("[0-9]*/cwd"):
        try:
            if link.resolve() == folder.resolve():
                return True
        except OSError:
            continue  # ended meanwhile, or another user's
    return False


def _read_stamps(folder: Path) -> dict[str, Any]:
    try:
        stamps = json.loads((folder / _STAMPS).read_text())
    except (OSError, ValueError):
        return {}
    return stamps if isinstance(stamps, dict) else {}
