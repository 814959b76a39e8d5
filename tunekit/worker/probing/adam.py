"""How many parameters per second the processor's Adam updates: DeepSpeed's where it is built, else torch's."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import torch

from tunekit.hardware.probing import Options, Result
from tunekit.units import MIB
from tunekit.worker.probing.ops import load_library
from tunekit.worker.probing.timing import seconds_per_call

MOST, LEAST = 64 * MIB, MIB
"""Parameters; the larger is far beyond any cache."""
BYTES_PER_PARAMETER = 16
"""fp32 weight, gradient and two moments."""


def measure(options: Options) -> Result:
    """`adam_fp32_rate` and `adam_bf16_rate`; weights, gradients and moments all of that kind. All cores work."""
    torch.set_num_threads(options.cores)
    count = max(LEAST, min(MOST, options.free_bytes // 4 // BYTES_PER_PARAMETER))
    make_step = deepspeed_step(options.adam_op) if options.adam_op else torch_step
    rates = {}
    for name, kind in (("fp32", torch.float32), ("bf16", torch.bfloat16)):
        step = make_step(torch.zeros(count, dtype=kind))
        rates[f"adam_{name}_rate"] = count / seconds_per_call(step, seconds=options.seconds / 2)
    adam = "DeepSpeedCPUAdam" if options.adam_op else "torch AdamW, fused"
    return {**rates, "adam": adam, "note": f"{adam}, {options.cores} threads, {count / 1e6:.0f} M parameters"}


def torch_step(weights: torch.Tensor) -> Callable[[], object]:
    """A step of torch's fused AdamW."""
    parameter = torch.nn.Parameter(weights)
    parameter.grad = torch.full_like(weights, 0.01)
    return torch.optim.AdamW([parameter], fused=True).step


def deepspeed_step(library: str) -> Callable[[torch.Tensor], Callable[[], object]]:
    """Makes steps of DeepSpeed's CPU Adam, from the library that was built: importing DeepSpeed takes seconds.

    The arguments are those of `deepspeed/ops/adam/cpu_adam.py`, 0.19.8.
    """
    op = load_library(Path(library))
    op.create_adam(0, 1e-3, 0.9, 0.999, 1e-8, 0.0, True, False)

    def make(weights: torch.Tensor) -> Callable[[], object]:
        gradient = torch.full_like(weights, 0.01)
        first, second = torch.zeros_like(weights), torch.zeros_like(weights)
        return lambda: op.adam_update(0, 1, 1e-3, 0.9, 0.999, 1e-8, 0.0, True, weights, gradient, first, second)

    return make
