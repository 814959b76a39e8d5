"""`Calibration`: figures measured on one machine, in place of those that the memory model only knows roughly.

Only terms of kind "calibrated" read it, each its own figure; nothing is a factor over a whole estimate.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from tunekit.units import GIB, MIB

BOUNDS: Mapping[str, tuple[float, float]] = {
    "context_bytes": (64 * MIB, 2 * GIB),
    "kernel_bytes": (0, 2 * GIB),
    "nccl_bytes": (0, 4 * GIB),
    "rank_bytes": (128 * MIB, 8 * GIB),
    "packed_margin": (0.0, 0.30),
    "padded_margin": (0.0, 0.60),
}
"""What each figure may be. Beyond it something else was measured: another program on the card, a broken counter."""
MEANINGS: Mapping[str, str] = {
    "context_bytes": "CUDA context of a process",
    "kernel_bytes": "kernels that training loads",
    "nccl_bytes": "NCCL buffers",
    "rank_bytes": "RAM of a rank after its imports",
    "packed_margin": "allocator margin, packed rows",
    "padded_margin": "allocator margin, padded rows",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Calibration:
    """What runs on one machine measured; None where they could not tell. Bytes per GPU or per rank, shares of bytes."""

    machine: str
    """Which machine: the `parts` of its `Hardware`."""
    date: str
    """Day of the last change, ISO."""
    runs: tuple[str, ...]
    """The run directories that the figures come from."""
    context_bytes: int | None = None
    kernel_bytes: int | None = None
    nccl_bytes: int | None = None
    rank_bytes: int | None = None
    packed_margin: float | None = None
    padded_margin: float | None = None

    @property
    def figures(self) -> dict[str, float]:
        """The figures that were measured, by name."""
        named = {name: getattr(self, name) for name in BOUNDS}
        return {name: value for name, value in named.items() if value is not None}


def fault_of(name: str, value: object) -> str | None:
    """Why `value` cannot be the figure `name`, with what may stand there; None when it can."""
    if name not in BOUNDS:
        return f"{name} is no figure; figures are {', '.join(BOUNDS)}"
    low, high = BOUNDS[name]
    whole = name.endswith("_bytes")
    number = isinstance(value, int if whole else (int, float)) and not isinstance(value, bool)
    if number and low <= float(str(value)) <= high:
        return None
    return f"{name} is {value!r}; allowed: {'a whole number of bytes' if whole else 'a share'} from {low:g} to {high:g}"
