"""Timing."""

from __future__ import annotations

import pytest

pytestmark = pytest.mark.train


def test_the_median_of_calls_after_a_warm_up(monkeypatch: pytest.MonkeyPatch) -> None:
    from tunekit.worker.probing import timing

    clock = [0.0]
    costs = iter([100.0, 1.0, 2.0, 9.0])

    def work() -> None:
        clock[0] += next(costs)

    monkeypatch.setattr(timing.time, "perf_counter", lambda: clock[0])
    assert timing.seconds_per_call(work, seconds=0.0) == 2.0
