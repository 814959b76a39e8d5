"""Two real ranks over gloo; the exchange itself is that of `rank`."""

from __future__ import annotations

import sys

import pytest

from tunekit.hardware.probing import Options

pytestmark = pytest.mark.train


def test_a_rank_that_fails_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    from tunekit.worker.probing import collectives

    monkeypatch.setattr(sys, "executable", "/bin/false")
    with pytest.raises(RuntimeError, match="the ranks ended with 1, 1"):
        collectives.measure(Options(seconds=0.1))


@pytest.mark.slow
def test_two_ranks_exchange() -> None:
    from tunekit.worker.probing import collectives

    found = collectives.measure(Options(seconds=0.1))
    assert found["note"] == "gloo, 2 ranks, 64 MiB"
    assert found["all_gather_rate"] > 0
    assert found["all_reduce_rate"] > 0
