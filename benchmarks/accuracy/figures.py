"""The figures of a group of rows: how far estimates lie from what was measured, and how often a verdict was wrong."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import ceil
from statistics import median

from accuracy.estimating import Estimate
from accuracy.setting import Setting


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """One mapped row with its estimate and the bytes other tools say."""

    setting: Setting
    estimate: Estimate
    peers: Mapping[str, int | None]

    @property
    def error(self) -> float | None:
        """(estimate - measured) / measured, or None where nothing was measured."""
        return self.error_of(self.estimate.expected)

    def error_of(self, size: int | None) -> float | None:
        """The same for any estimate."""
        measured = self.setting.measured_bytes
        return None if size is None or not measured else size / measured - 1

    @property
    def inside(self) -> bool:
        """Whether what was measured lies in the band."""
        return self.estimate.low <= (self.setting.measured_bytes or 0) <= self.estimate.high


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """Shares are of 1; None where no row of the group can say. `half_band`: (high - low) / 2 expected, median."""

    n: int
    median_error: float | None
    p90_error: float | None
    p95_error: float | None
    bias: float | None
    inside_band: float | None
    half_band: float | None
    false_fits: float | None
    false_rejected: float | None
    ran: int
    failed: int


def figures(results: Sequence[Result]) -> Figures:
    """The figures of these rows."""
    measured = [each for each in results if each.error is not None]
    errors = [each.error or 0.0 for each in measured]
    sizes = [abs(error) for error in errors]
    ran = [each.estimate.verdict for each in results if each.setting.ran is True]
    failed = [each.estimate.verdict for each in results if each.setting.ran is False]
    return Figures(
        n=len(measured),
        median_error=_middle(sizes),
        p90_error=percentile(sizes, 0.9),
        p95_error=percentile(sizes, 0.95),
        bias=_middle(errors),
        inside_band=_share(each.inside for each in measured),
        half_band=_middle([_half_band(each.estimate) for each in measured]),
        false_fits=_share(verdict == "fits" for verdict in failed),
        false_rejected=_share(verdict == "rejected" for verdict in ran),
        ran=len(ran),
        failed=len(failed),
    )


def peer_figures(results: Sequence[Result], peer: str) -> tuple[int, float | None, float | None]:
    """Rows a tool says something of, and the median and 90th percentile of its |error|."""
    errors = [error for each in results if (error := each.error_of(each.peers.get(peer))) is not None]
    sizes = [abs(error) for error in errors]
    return len(sizes), _middle(sizes), percentile(sizes, 0.9)


def percentile(values: Sequence[float], share: float) -> float | None:
    """The smallest value that at least `share` of the values do not exceed."""
    return sorted(values)[max(0, ceil(share * len(values)) - 1)] if values else None


def _middle(values: Sequence[float]) -> float | None:
    return median(values) if values else None


def _share(flags: Iterable[bool]) -> float | None:
    found = list(flags)
    return sum(found) / len(found) if found else None


def _half_band(estimate: Estimate) -> float:
    return (estimate.high - estimate.low) / 2 / max(1, estimate.expected)
