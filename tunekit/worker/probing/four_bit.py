"""Whether bitsandbytes works: numbers go to 4 bits and back, on every card, or on the processor."""

from __future__ import annotations

import torch
from bitsandbytes.functional import dequantize_4bit, quantize_4bit

from tunekit.hardware.probing import Options, Result

SIZE = 256
WORST = 0.2
"""NF4 loses 7 % of normal numbers on average; beyond this the library computes nonsense."""


def measure(options: Options) -> Result:
    """`where` it was done and the mean relative `error`. RuntimeError: the numbers that come back are others."""
    cards = torch.cuda.device_count()
    devices = [f"cuda:{index}" for index in range(cards)] or ["cpu"]
    error = max(_error(device) for device in devices)
    if not error < WORST:
        raise RuntimeError(f"numbers come back from 4 bits with an error of {error:.0%}")
    return {"where": f"{cards} cards" if cards > 1 else "the card" if cards else "the processor", "error": error}


def _error(device: str) -> float:
    torch.manual_seed(0)
    numbers = torch.randn(SIZE, SIZE, dtype=torch.bfloat16).to(device)
    packed, state = quantize_4bit(numbers, quant_type="nf4", compress_statistics=True)
    back = dequantize_4bit(packed, state)
    return float((back - numbers).float().abs().mean() / numbers.float().abs().mean())
