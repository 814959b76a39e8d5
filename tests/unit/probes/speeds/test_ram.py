"""RAM, for real and short."""

from __future__ import annotations

from tunekit.hardware.probing import Options
from tunekit.probes.speeds.ram import measure_ram


def test_it_copies_and_counts_both_ways() -> None:
    found = measure_ram(Options(seconds=0.01, cores=2, free_bytes=256 * 2**20))
    # 256 MiB free: a quarter of it, in two pairs.
    assert found["note"].startswith("2 threads copy 16 MiB each")
    assert 1e8 < found["ram_bandwidth"] < 1e13
