"""The values of a memory estimate: terms, peaks by phase, and what each place may hold."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Phase = Literal["load", "first forward", "step", "optimizer", "eval", "save", "resume", "merge", "rehearsal"]
Kind = Literal["exact", "bound", "calibrated"]
Place = Literal["device", "host", "disk"]
PHASES: tuple[Phase, ...] = ("load", "first forward", "step", "optimizer", "eval", "save")
"""What every run goes through; the worst of them decides.

load: weights are read, and DeepSpeed's engine is built. first forward: up to the first loss, when optimizers have no
states yet. step: forward and backward. optimizer: its step. eval: on held-out rows, where there are any. save: a
checkpoint, and the final model.
"""
LATER: tuple[Phase, ...] = ("resume", "merge")
"""What may follow a run: going on from a checkpoint, and making one model of base and adapter. They decide nothing."""
PLACES: tuple[Place, ...] = ("device", "host", "disk")

Moment = Literal["read", "convert", "flatten", "masters", "loss", "backward start", "backward end"]
"""What cannot happen at the same time inside a phase."""
MOMENTS: dict[Phase, tuple[Moment, ...]] = {
    "load": ("read", "convert", "flatten", "masters"),
    "first forward": (),
    "step": ("loss", "backward start", "backward end"),
    "optimizer": (),
    "eval": (),
    "save": (),
    "resume": (),
    "merge": (),
}
"""load: weights are read from disk; a .gguf was converted before; DeepSpeed builds its flat copy after, and
then the optimizer's own copies.
step: the loss and its backward; backward of the last layer, then of the first and the embedding.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class MemoryTerm:
    """One named amount of memory: bytes per device, bytes per host (all ranks together), bytes on disk.

    A term stands in one place only. `formula` is the formula with its numbers put in, `source` where the formula comes
    from. `low` and `high` are factors on the expected bytes: 1.0 for an exact term.
    """

    name: str
    phases: tuple[Phase, ...]
    """The phases at whose peak it stands; empty when its moments are never the largest of their phase."""
    moments: tuple[Moment, ...] = ()
    """Within a phase that has moments it stands in these only; in a phase of which none is named, throughout."""
    device_bytes: int = 0
    host_bytes: int = 0
    disk_bytes: int = 0
    formula: str
    source: str
    kind: Kind
    low: float = 1.0
    high: float = 1.0
    pooled: bool = True
    """Allocated through torch's caching allocator, so that the allocator's margin applies to it on the device."""

    @property
    def place(self) -> Place:
        """Where it stands."""
        return "device" if self.device_bytes else "host" if self.host_bytes else "disk"

    @property
    def bytes(self) -> int:
        """Expected bytes, where it stands."""
        return self.device_bytes or self.host_bytes or self.disk_bytes

    def bytes_in(self, place: Place) -> int:
        """Expected bytes in one place."""
        return {"device": self.device_bytes, "host": self.host_bytes, "disk": self.disk_bytes}[place]


@dataclass(frozen=True, slots=True, kw_only=True)
class PhasePeak:
    """Expected bytes of one phase in each place: the sum of the terms that name the phase."""

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
    allocator_margin: float = 0.0
    """Share of the allocator's bytes that `high` adds for fragmentation: of the device, or of the host without GPUs."""
