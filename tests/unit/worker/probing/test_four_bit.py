from __future__ import annotations

import pytest

from tunekit.hardware.probing import Options

pytestmark = pytest.mark.train


def test_numbers_come_back_from_four_bits() -> None:
    from tunekit.worker.probing.four_bit import measure

    found = measure(Options())
    assert 0.03 < found["error"] < 0.15
    assert found["where"]


def test_a_library_that_computes_nonsense_is_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    from tunekit.worker.probing import four_bit

    real = four_bit.dequantize_4bit
    monkeypatch.setattr(four_bit, "dequantize_4bit", lambda packed, state: -real(packed, state))
    with pytest.raises(RuntimeError, match="come back from 4 bits with an error of"):
        four_bit.measure(Options())
