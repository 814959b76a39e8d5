"""Whether torch starts CUDA here: how many cards it sees."""

from __future__ import annotations

import torch

from tunekit.hardware.probing import Options, Result


def measure(options: Options) -> Result:
    """`count` cards and the `cuda` version. RuntimeError with the driver's words where CUDA does not start."""
    torch.cuda.init()
    count = torch.cuda.device_count()
    for index in range(count):
        torch.zeros(1, device=f"cuda:{index}").item()
    return {"count": count, "cuda": torch.version.cuda}
