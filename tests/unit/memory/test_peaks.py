from __future__ import annotations

from typing import Any

from tunekit.memory.peaks import Totals, at_their_peaks
from tunekit.memory.terms import MemoryTerm


def term(name: str = "x", **changes: Any) -> MemoryTerm:
    plain: dict[str, Any] = {"phases": ("load", "step"), "formula": "", "source": "", "kind": "exact"}
    return MemoryTerm(name=name, **{**plain, **changes})


def test_a_term_of_a_lesser_moment_does_not_stand_at_the_peak() -> None:
    loss = term("loss", moments=("loss",), device_bytes=5, phases=("step",))
    start = term("start", moments=("backward start",), device_bytes=7, phases=("step",))
    always = term("always", device_bytes=1)
    assert [each.phases for each in at_their_peaks((loss, start, always))] == [(), ("step",), ("load", "step")]


def test_places_have_their_own_worst_moment() -> None:
    device = term("a", moments=("loss",), device_bytes=9, phases=("step",))
    host = term("b", moments=("backward end",), host_bytes=3, phases=("step",))
    assert [each.phases for each in at_their_peaks((device, host))] == [("step",), ("step",)]


def test_the_margin_is_of_what_the_allocator_of_the_place_holds() -> None:
    totals = Totals(margin=0.5, allocator="device")
    totals.add((term(device_bytes=10, high=2.0), term(device_bytes=4, pooled=False), term(host_bytes=6)))
    device, host = totals.estimate("device", 100), totals.estimate("host", 50)
    assert (device.low_bytes, device.expected_bytes, device.high_bytes, device.usable_bytes) == (14, 14, 29, 100)
    assert (host.expected_bytes, host.high_bytes) == (6, 6)


def test_the_worst_phase_is_that_of_most_expected_bytes() -> None:
    totals = Totals(margin=0.0, allocator="device")
    totals.add((term(device_bytes=3, phases=("load",)), term(device_bytes=2, phases=("step",), high=4.0)))
    estimate = totals.estimate("device", 9)
    assert (estimate.worst_phase, estimate.expected_bytes, estimate.high_bytes) == ("load", 3, 8)
    assert totals.peak("load").device_bytes == 3
