"""Matrix products on the processor."""

from __future__ import annotations

import pytest

from tunekit.hardware.probing import Options

pytestmark = pytest.mark.train


def test_the_processors_rate(monkeypatch: pytest.MonkeyPatch) -> None:
    from tunekit.worker.probing import matmul

    monkeypatch.setattr(matmul, "CPU_SIZE", 64)
    monkeypatch.setattr(matmul, "cards", list)
    monkeypatch.setattr(matmul, "seconds_per_call", lambda work, seconds: work() or 0.5)
    found = matmul.measure(Options(seconds=0.0))
    # 2 x 64^3 operations in half a second.
    assert found["matmul_tflops"] == pytest.approx(2 * 64**3 / 0.5 / 1e12)
    assert found["note"].startswith("bf16, 64 x 64; ")
