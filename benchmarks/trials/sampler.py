"""What the driver (or the kernel) says from outside while a trial runs, phase by phase."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from itertools import pairwise
from typing import Any

import psutil

SECONDS = 0.05
PHASES: Mapping[str, str] = {"model": "load", "train": "step", "eval": "eval", "save": "save"}
"""The worker's words in events.jsonl for the phases of a plan; the words between belong to the phase before."""


class Sampler:
    """Reads a number again and again in a thread of its own; `read` may fail once the process is gone."""

    def __init__(self, read: Callable[[], int]) -> None:
        self.samples: list[tuple[float, int]] = []
        self._read = read
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._loop, daemon=True)

    def __enter__(self) -> Sampler:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()

    def _loop(self) -> None:
        while not self._ended.is_set():
            with suppress(Exception):
                self.samples.append((time.time(), self._read()))
            self._ended.wait(SECONDS)


def peaks_by_phase(samples: Sequence[tuple[float, int]], events: Sequence[Mapping[str, Any]]) -> dict[str, int]:
    """The largest sample of each phase; the first phase begins with the first event that names one."""
    named = [(event["time"], PHASES[event["phase"]]) for event in events if event.get("phase") in PHASES]
    spans = [(start, end, phase) for (start, phase), (end, _) in pairwise([*named, (float("inf"), "")])]
    peaks: dict[str, int] = {}
    for start, end, phase in spans:
        seen = [value for moment, value in samples if start <= moment < end]
        if seen:
            peaks[phase] = max(peaks.get(phase, 0), *seen)
    return peaks


def card_reader(nvml: Any = None) -> Callable[[], int]:
    """Bytes in use on the fullest card, as NVML says, less what was in use before."""
    from tunekit.probes.gpus import read_gpus

    def used() -> list[int]:
        return [gpu.total_bytes - gpu.free_bytes for gpu in read_gpus(nvml).gpus]

    before = used()
    return lambda: max(now - then for now, then in zip(used(), before, strict=True))


def family_reader(process: psutil.Process) -> Callable[[], int]:
    """Resident bytes of a process's children, all generations; shared pages count for each."""

    def read() -> int:
        total = 0
        for child in process.children(recursive=True):
            with suppress(psutil.NoSuchProcess):
                total += child.memory_info().rss
        return total

    return read
