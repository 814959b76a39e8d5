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
    def usable_bytes(self) -> int:
        """What the planner takes for usable of the row's card."""
        return min((gpu.usable_bytes for gpu in self.setting.hardware.gpus), default=0)

    @property
    def inside(self) -> bool:
        """Whether what was measured lies in the band."""
        return self.estimate.low <= (self.setting.measured_bytes or 0) <= self.estimate.high


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """Shares are of 1; None where no row of the group can say. `half_band`: (high - low) / 2 expected, median.

    `false_fits_of_planner`: by the planner's verdict alone. Most programs run without expandable segments, so that
    their allocator reserves more than their tensors need; a replay of it makes some `fits` tight. tunekit's own runs
    have expandable segments, and its planner has no replay.
    """

    n: int
    median_error: float | None
    p90_error: float | None
    p95_error: float | None
    bias: float | None
    inside_band: float | None
    half_band: float | None
    false_fits: float | None
    false_fits_of_planner: float | None
    false_rejected: float | None
    ran: int
    failed: int


def figures(results: Sequence[Result]) -> Figures:
    """The figures of these rows."""
    measured = [each for each in results if each.error is not None]
    errors = [each.error or 0.0 for each in measured]
    sizes = [abs(error) for error in errors]
    ran = [each.estimate.verdict for each in results if each.setting.ran is True]
    failed = [each.estimate for each in results if each.setting.ran is False]
    return Figures(
        n=len(measured),
        median_error=_middle(sizes),
        p90_error=percentile(sizes, 0.9),
        p95_error=percentile(sizes, 0.95),
        bias=_middle(errors),
        inside_band=_share(each.inside for each in measured),
        half_band=_middle([_half_band(each.estimate) for each in measured]),
        false_fits=_share(each.verdict == "fits" for each in failed),
        false_fits_of_planner=_share(each.planner_verdict == "fits" for each in failed),
        false_rejected=_share(verdict == "rejected" for verdict in ran),
        ran=len(ran),
        failed=len(failed),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class PeerFigures:
    """Another tool on the same rows. It has no band: what it says fits on the card, or not."""

    n: int
    median_error: float | None
    p90_error: float | None
    false_fits: float | None
    false_rejected: float | None


def peer_figures(results: Sequence[Result], peer: str) -> PeerFigures:
    """The figures of a tool on the rows that it says something of."""
    told = [(each, each.peers.get(peer)) for each in results]
    sizes = [abs(error) for each, size in told if (error := each.error_of(size)) is not None]
    fits = [(each.setting.ran, size <= each.usable_bytes) for each, size in told if size is not None]
    return PeerFigures(
        n=len(sizes),
        median_error=_middle(sizes),
        p90_error=percentile(sizes, 0.9),
        false_fits=_share(fit for ran, fit in fits if ran is False),
        false_rejected=_share(not fit for ran, fit in fits if ran is True),
    )


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
