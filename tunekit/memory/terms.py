"""The values of a memory estimate: terms, peaks by phase, and what each place may hold."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Phase = Literal["load", "step", "eval", "save"]
Kind = Literal["exact", "bound", "calibrated"]
Place = Literal["device", "host", "disk"]
PHASES: tuple[Phase, ...] = ("load", "step", "eval", "save")
PLACES: tuple[Place, ...] = ("device", "host", "disk")


@dataclass(frozen=True, slots=True, kw_only=True)
class MemoryTerm:
    """One named amount of memory: bytes per device, bytes per host (all ranks together), bytes on disk.

    `formula` is the formula with its numbers put in, `source` where the formula comes from. `low` and `high` are
    factors on the expected bytes: 1.0 for an exact term.
    """

    name: str
    phases: tuple[Phase, ...]
    device_bytes: int = 0
    host_bytes: int = 0
    disk_bytes: int = 0
    formula: str
    source: str
    kind: Kind
    low: float = 1.0
    high: float = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class PhasePeak:
    """Expected bytes of one phase in each place."""

    phase: Phase
    device_bytes: int
    host_bytes: int
    disk_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class PlaceEstimate:
    """The worst phase of one place against what the place may hold. low <= expected <= high."""

    low_bytes: int
    expected_bytes: int
    high_bytes: int
    usable_bytes: int
    worst_phase: Phase

    @property
    def headroom_bytes(self) -> int:
        """Usable less expected; negative when it does not fit."""
        return self.usable_bytes - self.expected_bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class MemoryEstimate:
    """What the memory model says of a job on a machine. `device` is one GPU (all zero on a CPU-only machine)."""

    terms: tuple[MemoryTerm, ...]
    peaks: tuple[PhasePeak, ...]
    device: PlaceEstimate
    host: PlaceEstimate
    disk: PlaceEstimate
