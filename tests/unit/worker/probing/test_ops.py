from __future__ import annotations

import os
from pathlib import Path

import pytest

from tunekit.hardware.probing import Options

pytestmark = pytest.mark.train


def test_a_library_that_is_none_says_so(tmp_path: Path) -> None:
    from tunekit.worker.probing.ops import measure

    broken = tmp_path / "cpu_adam.so"
    broken.write_bytes(b"not a library")
    with pytest.raises(ImportError):
        measure(Options(ops=str(broken)))


def test_libraries_that_are_built_load() -> None:
    from tunekit.worker.probing.ops import measure

    library = Path(os.environ.get("TORCH_EXTENSIONS_DIR", "")) / "cpu_adam" / "cpu_adam.so"
    if not library.is_file():
        pytest.skip("DeepSpeed's CPU Adam is not built in TORCH_EXTENSIONS_DIR")
    assert measure(Options(ops=str(library))) == {"loaded": ["cpu_adam"]}
