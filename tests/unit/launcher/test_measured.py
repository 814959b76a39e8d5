from __future__ import annotations

from tests.measured import a_measurement, a_rank
from tunekit.launcher.measured import Peak, worst_peaks
from tunekit.units import GIB


def test_a_card_counts_its_worst_rank_and_the_host_all_of_them() -> None:
    found = worst_peaks(a_measurement(a_rank(reserved=20 * GIB), a_rank(reserved=21 * GIB, rank=1)))
    assert found == (
        Peak(place="GPU", bytes=21 * GIB, phase="step"),
        Peak(place="host", bytes=4 * GIB, phase="step"),
    )


def test_a_cpu_has_no_peak_of_cards() -> None:
    assert [peak.place for peak in worst_peaks(a_measurement(a_rank()))] == ["host"]


def test_a_record_without_ranks_has_no_peaks() -> None:
    assert worst_peaks({}) == ()
