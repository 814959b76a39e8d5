"""Starts the ranks that exchange tensors, one per card or as many as train on the processor, and takes their rates."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from tunekit.hardware.probing import Options, Result
from tunekit.worker.probing.rank import RANK, STORE


def measure(options: Options) -> Result:
    """`all_gather_rate` and `all_reduce_rate` in bytes per second, as `hardware.spec.Measured` defines them.

    The ranks stay in this process's group: whoever ends the group ends them too. RuntimeError: a rank failed.
    """
    with tempfile.TemporaryDirectory(prefix="tunekit-probe-") as folder:
        processes = [_start(rank, Path(folder), options) for rank in range(options.ranks)]
        codes = [process.wait() for process in processes]
        if any(codes):
            raise RuntimeError(f"the ranks ended with {', '.join(map(str, codes))}")
        found: Result = json.loads(_result(Path(folder), 0).read_text())
        return found


def _start(rank: int, folder: Path, options: Options) -> subprocess.Popen[bytes]:
    argv = [sys.executable, "-m", "tunekit.worker.probing", "rank", "--result", str(_result(folder, rank))]
    return subprocess.Popen([*argv, *options.argv()], env={**os.environ, RANK: str(rank), STORE: str(folder / "store")})


def _result(folder: Path, rank: int) -> Path:
    return folder / f"{rank}.json"
