"""Figures of the memory model that a run on the machine itself can replace: those of terms of kind "calibrated"."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from tunekit.hardware.calibration import Calibration
from tunekit.units import GB, MIB, format_bytes

MEASURED_LOW, MEASURED_HIGH = 0.95, 1.10
"""Band of a figure measured on the machine: other kernels, another driver, another batch."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """Bytes with their band and where they come from."""

    bytes: int
    source: str
    low: float
    high: float

    @property
    def text(self) -> str:
        """The bytes as a formula shows them."""
        return format_bytes(self.bytes)


_IMPORTS = "resident size of a rank after its imports: 600 MiB measured without CUDA libraries, 2.5 to 4 GB with"
CONTEXT = Figure(bytes=300 * MIB, source="pytorch issue 107667 (lazy module loading)", low=0.8, high=1.5)
KERNELS = Figure(
    bytes=290 * MIB, source="context and kernels together 0.6 GiB before calibration on the machine", low=0.3, high=1.5
)
NCCL = Figure(
    bytes=300 * MIB,
    source="4 MiB per channel and connection; 50 to 250 MiB through host memory, more with NVLink",
    low=0.2,
    high=1.3,
)
RANK = Figure(bytes=3 * GB, source=_IMPORTS, low=0.8, high=1.33)
CPU_RANK = Figure(bytes=600 * MIB, source=_IMPORTS, low=0.8, high=1.33)
MARGINS: Mapping[str, float] = {"packed_margin": 0.03, "padded_margin": 0.12}


def figure(name: str, calibration: Calibration | None, *, on_cpu: bool = False) -> Figure:
    """The figure `name` (a field of `Calibration`) as this machine's runs measured it, else tunekit's own."""
    measured = None if calibration is None else getattr(calibration, name)
    if calibration is None or measured is None:
        return own_figure(name, on_cpu=on_cpu)
    source = f"measured on this machine ({', '.join(calibration.runs)}; tunekit calibrate, {calibration.date})"
    return Figure(bytes=measured, source=source, low=MEASURED_LOW, high=MEASURED_HIGH)


def own_figure(name: str, *, on_cpu: bool = False) -> Figure:
    """What tunekit takes where nothing was measured."""
    rank = CPU_RANK if on_cpu else RANK
    return {"context_bytes": CONTEXT, "kernel_bytes": KERNELS, "nccl_bytes": NCCL, "rank_bytes": rank}[name]


def margin(packing: bool, calibration: Calibration | None) -> float:
    """The allocator's margin, measured or tunekit's own; a share of the bytes it holds."""
    name = "packed_margin" if packing else "padded_margin"
    measured: float | None = None if calibration is None else getattr(calibration, name)
    return MARGINS[name] if measured is None else measured
