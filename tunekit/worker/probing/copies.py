"""Copies between RAM and cards, from card to card, and the links' width while they carry something."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import torch

from tunekit.hardware.probing import Options, Result
from tunekit.probes.gpus import LinkState, read_links
from tunekit.units import GB, MIB
from tunekit.worker.probing.timing import cards, seconds_per_call

BUFFER_BYTES = 256 * MIB
COPIES = 4


def measure(options: Options) -> Result:
    """`to_gpu_rate`, `from_gpu_rate` and `peer_rate` in bytes per second, `links` under load; needs a card."""
    devices = cards()
    share = options.seconds / (3 if len(devices) > 1 else 2)
    host = [torch.empty(BUFFER_BYTES, dtype=torch.uint8, pin_memory=True) for _ in devices]
    on_card = [torch.empty(BUFFER_BYTES, dtype=torch.uint8, device=device) for device in devices]
    links: list[LinkState] = []

    def to_cards() -> None:
        _copy(on_card, host)
        if not links:
            # The copies are under way now; an idle link falls back to generation 1.
            links.extend(read_links(_uuids(devices)))

    found: Result = {
        "to_gpu_rate": _rate(to_cards, share),
        "from_gpu_rate": _rate(lambda: _copy(host, on_card), share),
        "links": [[link.generation, link.lanes] for link in links],
        "note": f"pinned, each of {len(devices)} cards, all at once" if len(devices) > 1 else "pinned, one card",
    }
    return {**found, **_peers(on_card, share)} if len(devices) > 1 else found


def _copy(targets: list[torch.Tensor], sources: list[torch.Tensor]) -> None:
    for _ in range(COPIES):
        for target, source in zip(targets, sources, strict=True):
            target.copy_(source, non_blocking=True)


def _rate(work: Callable[[], None], seconds: float) -> float:
    return COPIES * BUFFER_BYTES / seconds_per_call(work, seconds=seconds)


def _peers(on_card: list[torch.Tensor], seconds: float) -> Result:
    reaches = torch.cuda.can_device_access_peer(0, 1)
    rate = _rate(lambda: _copy(on_card[1:2], on_card[:1]), seconds)
    way = "directly" if reaches else "through RAM: no peer access"
    return {"peer_rate": rate, "p2p": reaches, "peer_note": f"card 0 to card 1 {way}, {rate / GB:.1f} GB/s"}


def _uuids(devices: list[torch.device]) -> Iterator[str]:
    return (f"GPU-{torch.cuda.get_device_properties(device).uuid}" for device in devices)
