"""The folder of DeepSpeed's compiled ops, and the CUDA compiler beside it."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

from tunekit.doctor.readings import OpCache
from tunekit.launcher.ops import EXPECTED_SECONDS, missing_ops, stale_locks
from tunekit.probes.host import read_drive
from tunekit.probes.places import file_system_of

NVCC_SECONDS = 5.0


def read_op_cache(folder: Path) -> OpCache:
    """What is built in the folder, here or elsewhere, and which locks nobody holds. Changes nothing."""
    known = tuple(EXPECTED_SECONDS)
    missing = missing_ops(folder, known)
    return OpCache(
        folder=str(folder),
        file_system=file_system_of(read_drive(folder).path),
        built=tuple(op for op in known if op not in missing),
        foreign=tuple(op for op in missing if (folder / op / f"{op}.so").is_file()),
        stale_locks=tuple(str(lock) for lock in stale_locks(folder)),
    )


def read_nvcc(cuda_home: str | None) -> str | None:
    """The version of the CUDA compiler, such as 12.8; None where it is not there or does not answer."""
    if cuda_home is None:
        return None
    try:
        ran = subprocess.run(
            [str(Path(cuda_home) / "bin" / "nvcc"), "--version"],
            capture_output=True,
            text=True,
            timeout=NVCC_SECONDS,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    found = re.search(r"release ([\d.]+)", ran.stdout)
    return found[1] if found else None
