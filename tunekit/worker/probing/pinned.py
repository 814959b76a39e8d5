"""Page-locks as much RAM as a plan will, block by block, and gives it back."""

from __future__ import annotations

import os
import time

import torch

from tunekit.hardware.probing import Options, Result
from tunekit.units import GIB

BLOCK = GIB
MOST_SECONDS = 20.0


def measure(options: Options) -> Result:
    """Locks `options.free_bytes` in blocks of 1 GiB: `bytes` locked and `seconds`; stops after 20 s."""
    started, blocks, done = time.perf_counter(), [], 0
    while done < options.free_bytes and time.perf_counter() - started < MOST_SECONDS:
        size = min(BLOCK, options.free_bytes - done)
        blocks.append(_block(size))
        done += size
    return {"bytes": done, "seconds": time.perf_counter() - started}


def _block(size: int) -> torch.Tensor:
    """Locked as the ranks would lock it: through DeepSpeed where its own allocator is chosen."""
    if os.environ.get("DS_PIN_MEMORY_BACKEND") != "native":
        return torch.empty(size, dtype=torch.uint8, pin_memory=True)
    from deepspeed.accelerator import get_accelerator

    block: torch.Tensor = get_accelerator().pin_memory(torch.empty(size, dtype=torch.uint8))
    return block
