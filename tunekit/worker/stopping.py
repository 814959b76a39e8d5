"""Ending together: one rank is asked, all agree at a step's end or between two of its micro-batches."""

from __future__ import annotations

import random
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

import numpy as np
import torch

from tunekit.launcher.run_dir import RunDir

SIGNALS = (signal.SIGTERM, signal.SIGINT)


class Stopped(Exception):
    """The run was asked to end while no step was running; nothing is left to save."""


class StopRequest:
    """Whether this rank was asked to end: by a signal, or by RUN/stop.request.

    While steps run, asking only sets a flag, because ranks must end at the same step; otherwise it raises Stopped.
    """

    def __init__(self, run_dir: RunDir) -> None:
        self.run_dir = run_dir
        self.signalled = False
        self.stepping = False
        self.agreed = False

    @property
    def asked(self) -> bool:
        """This rank's own knowledge; the others may not know yet."""
        return self.signalled or self.run_dir.stop_request.exists()

    @contextmanager
    def listening(self) -> Iterator[None]:
        """Take SIGTERM and SIGINT for requests to end, until the block is left."""
        before = {number: signal.signal(number, self._heard) for number in SIGNALS}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def check(self) -> None:
        """Between phases: raise Stopped when asked."""
        if self.asked:
            raise Stopped

    def _heard(self, number: int, frame: FrameType | None) -> None:
        self.signalled = True
        if not self.stepping:
            raise Stopped


def random_states(device: torch.device) -> dict[str, Any]:
    """Where this rank's random numbers are: those that a checkpoint keeps."""
    states = {"python": random.getstate(), "numpy": np.random.get_state(), "cpu": torch.get_rng_state()}
    return states | ({"cuda": torch.cuda.get_rng_state(device)} if device.type == "cuda" else {})


def go_back_to(states: dict[str, Any], device: torch.device) -> None:
    """Draw again what was drawn since `states`."""
    random.setstate(states["python"])
    np.random.set_state(states["numpy"])
    torch.set_rng_state(states["cpu"])
    if "cuda" in states:
        torch.cuda.set_rng_state(states["cuda"], device)
