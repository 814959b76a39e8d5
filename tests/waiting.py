"""Waiting for something to become true, instead of sleeping for a while and hoping."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

Value = TypeVar("Value")


def until(ask: Callable[[], Value], *, seconds: float = 20.0) -> Value:
    """The first true answer; fails when there is none in time."""
    deadline = time.monotonic() + seconds
    while not (answer := ask()):
        assert time.monotonic() < deadline, f"nothing came of it in {seconds} s"
        time.sleep(0.02)
    return answer
