"""How far estimates lie from what was measured, for a group of rows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

from accuracy.figures import percentile

from throughput.setting import Setting
from tunekit.speed.estimate import speed_of
from tunekit.speed.terms import Band, SpeedEstimate


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """One mapped row with its estimate."""

    setting: Setting
    estimate: SpeedEstimate

    @property
    def tokens_per_second(self) -> Band:
        """The estimate as the source counts: its tokens, over its time."""
        seconds, setting = self.estimate.step_seconds, self.setting
        return Band(
            low=setting.tokens / (seconds.high + setting.outside),
            expected=setting.tokens / (seconds.expected + setting.outside),
            high=setting.tokens / (seconds.low + setting.outside),
        )

    @property
    def error(self) -> float:
        """(estimate - measured) / measured, in tokens per second."""
        return self.tokens_per_second.expected / self.setting.measured - 1

    @property
    def inside(self) -> bool:
        """Whether what was measured lies in the band."""
        band = self.tokens_per_second
        return band.low <= self.setting.measured <= band.high


def estimate(setting: Setting) -> Result:
    """The estimate of a setting."""
    return Result(setting=setting, estimate=speed_of(setting.job, setting.shape, setting.rates, setting.habits))


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """Shares are of 1; None where there is no row. `half_band`: (high - low) / 2 expected, median."""

    n: int
    median_error: float | None
    p90_error: float | None
    p95_error: float | None
    bias: float | None
    inside_band: float | None
    half_band: float | None


def figures(results: Sequence[Result]) -> Figures:
    """The figures of these rows."""
    errors = [each.error for each in results]
    sizes = [abs(error) for error in errors]
    bands = [each.tokens_per_second for each in results]
    return Figures(
        n=len(results),
        median_error=median(sizes) if sizes else None,
        p90_error=percentile(sizes, 0.9),
        p95_error=percentile(sizes, 0.95),
        bias=median(errors) if errors else None,
        inside_band=sum(each.inside for each in results) / len(results) if results else None,
        half_band=median((band.high - band.low) / 2 / band.expected for band in bands) if bands else None,
    )
