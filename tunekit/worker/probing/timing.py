"""How long a piece of work takes, on cards and processors alike."""

from __future__ import annotations

import time
from collections.abc import Callable
from statistics import median

import torch


def seconds_per_call(work: Callable[[], object], *, seconds: float, least: int = 3) -> float:
    """Median seconds of one call, after one that warms up; repeats for about `seconds`, `least` times or more."""
    work()
    wait_for_cards()
    taken: list[float] = []
    end = time.perf_counter() + seconds
    while len(taken) < least or time.perf_counter() < end:
        started = time.perf_counter()
        work()
        wait_for_cards()
        taken.append(time.perf_counter() - started)
    return median(taken)


def wait_for_cards() -> None:
    """Until every card has done what was asked of it."""
    for card in cards():
        torch.cuda.synchronize(card)


def cards() -> list[torch.device]:
    """The cards that this process sees."""
    return [torch.device("cuda", index) for index in range(torch.cuda.device_count())]
