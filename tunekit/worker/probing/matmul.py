"""The rate of large bf16 matrix products: on all cards at once, or on the processor."""

from __future__ import annotations

import torch

from tunekit.hardware.probing import Options, Result
from tunekit.worker.probing.timing import cards, seconds_per_call

CARD_SIZE, CPU_SIZE = 8192, 2048
PRODUCTS = 8
"""Per card and call, so that starting them does not count."""


def measure(options: Options) -> Result:
    """`matmul_tflops`: 2 size^3 operations a product, of each card while all cards work (power and heat are shared)."""
    devices = cards()
    size, products = (CARD_SIZE, PRODUCTS) if devices else (CPU_SIZE, 1)
    pairs = [_pair(size, device) for device in devices or [torch.device("cpu")]]

    def work() -> None:
        for _ in range(products):
            for left, right, out in pairs:
                torch.mm(left, right, out=out)

    rate = 2 * size**3 * products / seconds_per_call(work, seconds=options.seconds)
    where = f"each of {len(devices)} cards, all at once" if devices else f"{torch.get_num_threads()} threads, no card"
    return {"matmul_tflops": rate / 1e12, "note": f"bf16, {size} x {size}; {where}"}


def _pair(size: int, device: torch.device) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    left, right = (torch.randn(size, size, device=device, dtype=torch.bfloat16) for _ in range(2))
    return left, right, torch.empty_like(left)
