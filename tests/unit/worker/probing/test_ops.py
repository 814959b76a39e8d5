from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.integration import tiny
from tunekit.hardware.probing import Options

pytestmark = pytest.mark.train


def test_a_library_that_is_none_says_so(tmp_path: Path) -> None:
    from tunekit.worker.probing.ops import measure

    broken = tmp_path / "cpu_adam.so"
    broken.write_bytes(b"not a library")
    with pytest.raises(ImportError):
        measure(Options(ops=str(broken)))


@pytest.mark.slow
def test_libraries_that_are_built_load() -> None:
    """In a process of its own, as ever: async_io finds what it needs in pin_memory's library."""
    if not Path("/usr/include/libaio.h").exists():
        pytest.skip("libaio's headers are not here")
    names = ("cpu_adam", "pin_memory", "async_io")
    folder = tiny.built_ops(*names)
    ops = ",".join(str(folder / op / f"{op}.so") for op in names)
    argv = [sys.executable, "-m", "tunekit.worker.probing", "ops", "--result", "", "--ops", ops]
    ran = subprocess.run(argv, capture_output=True, text=True, timeout=120, check=False)
    assert ran.returncode == 0, ran.stderr
