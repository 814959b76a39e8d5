from __future__ import annotations

from typing import Any

from tunekit.memory.peaks import at_their_peaks, sum_of
from tunekit.memory.terms import MemoryTerm


def term(name: str = "x", **changes: Any) -> MemoryTerm:
    plain: dict[str, Any] = {"phases": ("load", "step"), "formula": "", "source": "", "kind": "exact"}
    return MemoryTerm(name=name, **{**plain, **changes})


def test_a_term_of_a_lesser_moment_does_not_stand_at_the_peak() -> None:
    loss = term("loss", moments=("loss",), device_bytes=5, phases=("step",))
    start = term("start", moments=("backward start",), device_bytes=7, phases=("step",))
    terms = (loss, start, term("always", device_bytes=1))
    assert [each.phases for each in at_their_peaks(terms, sum_of(terms))] == [(), ("step",), ("load", "step")]


def test_places_have_their_own_worst_moment() -> None:
    device = term("a", moments=("loss",), device_bytes=9, phases=("step",))
    host = term("b", moments=("backward end",), host_bytes=3, phases=("step",))
    standing = at_their_peaks((device, host), sum_of((device, host)))
    assert [each.phases for each in standing] == [("step",), ("step",)]


def test_absent_phases_are_neither_summed_nor_shown() -> None:
    terms = (term(device_bytes=4),)
    sums = sum_of(terms, {"load"})
    assert (sums.peak("load").device_bytes, sums.peak("step").device_bytes) == (0, 4)
    assert at_their_peaks(terms, sums, {"load"})[0].phases == ("step",)


def test_the_margin_is_of_what_the_allocator_holds() -> None:
    sums = sum_of((term(device_bytes=10, high=2.0), term(device_bytes=4, pooled=False), term(host_bytes=6)))
    device, host = sums.estimate("device", 100, 0.5), sums.estimate("host", 50, 0.0)
    assert (device.low_bytes, device.expected_bytes, device.high_bytes, device.usable_bytes) == (14, 14, 29, 100)
    assert (host.expected_bytes, host.high_bytes) == (6, 6)


def test_the_worst_phase_is_that_of_most_expected_bytes() -> None:
    sums = sum_of((term(device_bytes=3, phases=("load",)), term(device_bytes=2, phases=("step",), high=4.0)))
    estimate = sums.estimate("device", 9, 0.0)
    assert (estimate.worst_phase, estimate.expected_bytes, estimate.high_bytes) == ("load", 3, 8)
    assert sums.peak("load").device_bytes == 3


def test_a_lesser_moment_may_be_the_highest() -> None:
    sure = term(device_bytes=10, phases=("step",), moments=("loss",))
    doubtful = term(device_bytes=8, phases=("step",), moments=("backward end",), low=0.5, high=2.0)
    found = sum_of((sure, doubtful)).estimate("device", 20, 0.0)
    assert (found.low_bytes, found.expected_bytes, found.high_bytes) == (10, 10, 16)


def test_sums_of_parts_add_up_to_the_sums_of_all() -> None:
    first = (term(device_bytes=3, high=1.5), term(host_bytes=2, moments=("loss",), phases=("step",)))
    second = (term(device_bytes=9, low=0.5, pooled=False), term(disk_bytes=1, phases=("save",)))
    assert sum_of(first) + sum_of(second) == sum_of(first + second)
