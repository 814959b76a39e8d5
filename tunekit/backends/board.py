"""Samples as TensorBoard scalars, without torch: records are written with TensorBoard's own record writer."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

from tunekit.units import GIB
from tunekit.watch.sample import GpuSample, Sample

FOLDER = "machine"
"""A run of its own below the run's: TensorBoard follows one file per folder, and the first rank has that one."""


class Board:
    """Writes one point per number and sample; the step of a point is the seconds since the first sample."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder / FOLDER
        self._file: IO[bytes] | None = None
        self._writer: Any = None
        self._began = 0.0

    def write(self, sample: Sample) -> None:
        """Add a sample. ImportError: TensorBoard is not installed; OSError: the drive is full."""
        from tensorboard.compat.proto.event_pb2 import Event
        from tensorboard.compat.proto.summary_pb2 import Summary

        if self._file is None:
            self._open(sample.time)
        values = [Summary.Value(tag=tag, simple_value=value) for tag, value in scalars(sample)]
        step = round(sample.time - self._began)
        self._add(Event(wall_time=sample.time, step=step, summary=Summary(value=values)))

    def close(self) -> None:
        """Finish the file."""
        if self._file is not None:
            self._file.close()
            self._file = None

    def _open(self, now: float) -> None:
        from tensorboard.compat.proto.event_pb2 import Event
        from tensorboard.summary.writer.record_writer import RecordWriter

        self._folder.mkdir(parents=True, exist_ok=True)
        name = f"events.out.tfevents.{time.time():.0f}.{socket.gethostname()}.{os.getpid()}"
        self._file = (self._folder / name).open("ab")
        self._writer = RecordWriter(self._file)
        self._began = now
        self._add(Event(wall_time=now, file_version="brain.Event:2"))

    def _add(self, event: Any) -> None:
        self._writer.write(event.SerializeToString())
        if self._file is not None:
            self._file.flush()


def scalars(sample: Sample) -> Iterator[tuple[str, float]]:
    """Every number of a sample by its tag, in the units that people read."""
    for gpu in sample.gpus:
        known = {name: value for name, value in _of_card(gpu).items() if value is not None}
        yield from ((f"gpu{gpu.index}/{name}", float(value)) for name, value in known.items())
    if sample.host is not None:
        yield "host/ram_used_gib", sample.host.used_bytes / GIB
        yield "host/ram_available_gib", sample.host.available_bytes / GIB
        yield "host/swap_used_gib", (sample.host.swap_total_bytes - sample.host.swap_free_bytes) / GIB
    for drive in sample.drives:
        yield f"disk/{drive.purpose}_free_gib", drive.free_bytes / GIB
    if sample.step_seconds is not None:
        yield "step_seconds", sample.step_seconds


def _of_card(gpu: GpuSample) -> dict[str, float | None]:
    return {
        "memory_gib": gpu.used_bytes / GIB,
        "utilisation_percent": gpu.utilisation,
        "celsius": gpu.celsius,
        "watts": gpu.watts,
        "sm_clock_mhz": gpu.sm_clock,
        "throttle_reasons": gpu.throttle,
        "pcie_generation": gpu.pcie_generation,
        "pcie_lanes": gpu.pcie_lanes,
    }
