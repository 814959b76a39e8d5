from __future__ import annotations

import pytest

from tunekit.hardware.probing import Options
from tunekit.units import MIB

pytestmark = pytest.mark.train


def test_blocks_come_to_what_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    from tunekit.worker.probing import pinned

    sizes: list[int] = []
    monkeypatch.setattr(pinned, "_block", sizes.append)
    monkeypatch.setattr(pinned, "BLOCK", 4 * MIB)
    found = pinned.measure(Options(free_bytes=9 * MIB))
    assert sizes == [4 * MIB, 4 * MIB, MIB]
    assert found["bytes"] == 9 * MIB


def test_it_stops_when_its_time_is_up(monkeypatch: pytest.MonkeyPatch) -> None:
    from tunekit.worker.probing import pinned

    monkeypatch.setattr(pinned, "_block", lambda size: size)
    monkeypatch.setattr(pinned, "MOST_SECONDS", 0.0)
    assert pinned.measure(Options(free_bytes=9 * MIB))["bytes"] == 0


def test_a_block_of_a_machine_without_cards_is_refused_by_torch(monkeypatch: pytest.MonkeyPatch) -> None:
    import torch

    from tunekit.worker.probing.pinned import measure

    monkeypatch.delenv("DS_PIN_MEMORY_BACKEND", raising=False)
    if torch.cuda.is_available():
        assert measure(Options(free_bytes=MIB))["bytes"] == MIB
    else:
        with pytest.raises(RuntimeError):
            measure(Options(free_bytes=MIB))
