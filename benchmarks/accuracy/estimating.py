"""A setting's estimate in the way its figure was read: low, expected and high bytes, and the verdict."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from accuracy.engines import engine_terms
from accuracy.setting import Setting
from tunekit.memory.case import Case, make_case
from tunekit.memory.estimate import sum_up
from tunekit.memory.terms import MemoryEstimate, MemoryTerm

Verdict = Literal["fits", "tight", "rejected"]
RESERVED_SHARE = 0.08
"""What the caching allocator holds beyond the peak of tensors, where there is room to drift."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimate:
    """Bytes in the way of the reading, and what the planner would have said of the job on the card."""

    low: int
    expected: int
    high: int
    verdict: Verdict


def estimate(setting: Setting) -> Estimate:
    """The estimate of a setting."""
    case = make_case(setting.job, setting.shape, setting.hardware, setting.practice)
    collected = engine_terms(case, setting.engine, setting.states)
    total = sum_up(case, collected)
    low, expected, high = _read(setting, case, total, collected)
    return Estimate(low=round(low), expected=round(expected), high=round(high), verdict=_verdict(total))


def _read(
    setting: Setting, case: Case, total: MemoryEstimate, collected: tuple[MemoryTerm, ...]
) -> tuple[float, float, float]:
    if setting.reading in ("steady", "weights"):
        phase = "save" if setting.reading == "steady" else "load"
        kept = [term for term in collected if phase in term.phases and term.pooled]
        size = sum(term.device_bytes for term in kept)
        return 0.98 * size, size, 1.03 * size
    seen = [term for term in total.terms if term.pooled or setting.reading == "device"]
    inside = max(
        ([term for term in seen if phase in term.phases] for phase in ("step", "optimizer")),
        key=lambda held: sum(term.device_bytes for term in held),
    )
    low = sum(term.low * term.device_bytes for term in inside)
    high = sum(term.high * term.device_bytes for term in inside)
    expected = float(sum(term.device_bytes for term in inside))
    if setting.reading in ("reserved", "device"):
        return low, expected * (1 + RESERVED_SHARE), high * (1 + 2 * RESERVED_SHARE)
    return low, expected, high


def _verdict(total: MemoryEstimate) -> Verdict:
    place = total.device
    if place.expected_bytes > place.usable_bytes:
        return "rejected"
    return "tight" if place.high_bytes > place.usable_bytes else "fits"
