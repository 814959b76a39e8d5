"""One rank alone: nothing is received."""

from __future__ import annotations

from pathlib import Path

import pytest

from tunekit.hardware.probing import Options

pytestmark = pytest.mark.train


def test_one_rank_counts_what_it_receives(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    from tunekit.worker.probing import rank

    monkeypatch.setenv(rank.RANK, "0")
    monkeypatch.setenv(rank.STORE, str(tmp_path / "store"))
    monkeypatch.setattr(rank, "CPU_BYTES", 2**20)
    found = rank.measure(Options(seconds=0.0, ranks=1))
    assert found == {"all_gather_rate": 0.0, "all_reduce_rate": 0.0, "note": "gloo, 1 ranks, 1 MiB"}
