"""DeepSpeed's files in /dev/shm: 66 MiB of RAM per rank on a CPU, which DeepSpeed itself never removes.

`deepspeed/ops/csrc/cpu/comm/shm.cpp` creates them under a name made of user, address, port and rank, and unlinks none.
"""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

SHARED_MEMORY = Path("/dev/shm")
_PREFIX = "deepspeed_allreduce_buffer"


def remove_shared_memory(port: int, *, folder: Path | None = None) -> None:
    """Unlink this user's files of the run on `port`; ranks that have them mapped go on, their end frees the memory."""
    for path in (folder or SHARED_MEMORY).glob(f"{_PREFIX}_{os.getuid()}_*_{port}_*"):
        with suppress(FileNotFoundError):
            path.unlink()
