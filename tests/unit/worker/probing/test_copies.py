"""Copies, with tensors of the processor in place of cards."""

from __future__ import annotations

import pytest

from tunekit.hardware.probing import Options
from tunekit.probes.gpus import LinkState

pytestmark = pytest.mark.train


def test_rates_links_and_peers(monkeypatch: pytest.MonkeyPatch) -> None:
    import torch

    from tunekit.worker.probing import copies

    empty = torch.empty
    monkeypatch.setattr(copies.torch, "empty", lambda *size, pin_memory=False, **rest: empty(*size, **rest))
    monkeypatch.setattr(copies, "BUFFER_BYTES", 1024)
    monkeypatch.setattr(copies, "cards", lambda: [torch.device("cpu")] * 2)
    monkeypatch.setattr(copies, "_uuids", lambda devices: iter(()))
    monkeypatch.setattr(copies, "read_links", lambda uuids: (LinkState(generation=4, lanes=8),) * 2)
    monkeypatch.setattr(copies, "seconds_per_call", lambda work, seconds: work() or 0.25)
    monkeypatch.setattr(copies.torch.cuda, "can_device_access_peer", lambda one, other: False)
    found = copies.measure(Options(seconds=0.0))
    rate = copies.COPIES * 1024 / 0.25
    assert (found["to_gpu_rate"], found["from_gpu_rate"], found["peer_rate"]) == (rate, rate, rate)
    assert found["links"] == [[4, 8], [4, 8]]
    assert (found["p2p"], found["note"]) == (False, "pinned, each of 2 cards, all at once")
    assert "through RAM: no peer access" in found["peer_note"]
