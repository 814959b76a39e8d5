"""The table of a run in text, and the same as JSON."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from typing import Any

from accuracy.figures import Figures, Result, figures, peer_figures
from accuracy.peers import PEERS
from accuracy.setting import Unmapped

SURE = ("high", "medium-high", "medium")
"""Confidence classes for which the project promises figures."""


def groups_of(results: Sequence[Result]) -> dict[str, list[Result]]:
    """Rows by source, then by kind: the promised ones, and each class of confidence."""
    groups: dict[str, list[Result]] = {}
    for each in results:
        groups.setdefault(each.setting.group, []).append(each)
    ordered = dict(sorted(groups.items()))
    for name, belongs in _KINDS.items():
        chosen = [each for each in results if belongs(each)]
        if chosen:
            ordered[name] = chosen
    return ordered


def _exact(result: Result) -> bool:
    """Byte-exact rows whose whole configuration is published."""
    return result.setting.group in ("FMSPK", "FMSAL")


def _promised(result: Result) -> bool:
    return result.setting.confidence in SURE and result.setting.is_peak


def _confidence(name: str) -> Callable[[Result], bool]:
    return lambda result: result.setting.confidence == name


_KINDS: dict[str, Callable[[Result], bool]] = {
    "FMSPK+FMSAL": _exact,
    "sure training peaks": _promised,
    **{f"confidence {name}": _confidence(name) for name in ("high", "medium-high", "medium", "low-medium", "low")},
}


PROMISED = ("n", "median_error", "p90_error", "bias", "inside_band", "false_fits", "false_rejected")
"""Figures of a group in JSON; `details` has the others."""


def as_json(results: Sequence[Result], unmapped: Sequence[Unmapped], *, verbose: bool = False) -> dict[str, Any]:
    """`groups` and `all` with the promised figures of each, `unmapped` with reasons; with `verbose` `details` too."""
    groups, every = groups_of(results), {**groups_of(results), "all": list(results)}
    told = {
        "groups": {name: _as_json(chosen) for name, chosen in groups.items()},
        "all": _as_json(results),
        "unmapped": [
            {"reason": reason, "count": len(names), "rows": names} for reason, names in by_reason(unmapped).items()
        ],
    }
    return told | ({"details": {name: _details(chosen) for name, chosen in every.items()}} if verbose else {})


def _as_json(results: Sequence[Result]) -> dict[str, Any]:
    found = asdict(figures(results))
    return {name: found[name] for name in PROMISED}


def _details(results: Sequence[Result]) -> dict[str, Any]:
    found = asdict(figures(results))
    peers = {peer: asdict(peer_figures(results, peer)) for peer in PEERS}
    return {**{name: value for name, value in found.items() if name not in PROMISED}, "peers": peers}


def by_reason(unmapped: Sequence[Unmapped]) -> dict[str, list[str]]:
    """Names of rows by why they were not mapped, the commonest reason first."""
    reasons: dict[str, list[str]] = {}
    for each in unmapped:
        reasons.setdefault(each.reason, []).append(each.name)
    return dict(sorted(reasons.items(), key=lambda item: -len(item[1])))


def as_text(results: Sequence[Result], unmapped: Sequence[Unmapped], *, verbose: bool = False) -> str:
    """The table, ours and the other tools side by side, and what could not be mapped."""
    lines = [_HEAD, "-" * len(_HEAD)]
    lines += [_line(name, chosen) for name, chosen in {**groups_of(results), "all": list(results)}.items()]
    lines += ["", "false fits and false rejected of each tool, on rows known to have run out of memory or to have run:"]
    lines += [f"  {tool:22}{fits:>8}{rejected:>8}" for tool, fits, rejected in verdict_lines(results)]
    lines += ["", *unmapped_lines(unmapped, verbose=verbose)]
    if verbose:
        lines += ["", *(_row_line(each) for each in results)]
    return "\n".join(lines)


_HEAD = (
    f"{'group':22}{'n':>5}{'median':>8}{'p90':>8}{'p95':>8}{'bias':>8}{'inside':>8}{'+-band':>8}"
    f"{'false fits':>14}{'rejected':>15}" + "".join(f"{peer:>22}" for peer in PEERS)
)


def _line(name: str, results: Sequence[Result]) -> str:
    found: Figures = figures(results)
    cells = (found.median_error, found.p90_error, found.p95_error, found.bias, found.inside_band, found.half_band)
    text = "".join(f"{percent(cell):>8}" for cell in cells)
    rates = rates_of(found)
    peers = "".join(f"{peer_cell(results, peer):>22}" for peer in PEERS)
    return f"{name:22}{found.n:>5}{text}{rates['fits']:>14}{rates['rejected']:>15}{peers}"


def rates_of(found: Figures) -> dict[str, str]:
    """`0.0% of 64`: the wrong verdicts among the rows that can tell; `-` where none can."""
    return {
        "fits": f"{percent(found.false_fits)} of {found.failed}" if found.failed else "-",
        "rejected": f"{percent(found.false_rejected)} of {found.ran}" if found.ran else "-",
    }


def peer_cell(results: Sequence[Result], peer: str) -> str:
    """Median and 90th percentile of a tool's |error| on the same rows."""
    found = peer_figures(results, peer)
    return f"{percent(found.median_error)} ({percent(found.p90_error)})" if found.n else "-"


def verdict_lines(results: Sequence[Result]) -> list[tuple[str, str, str]]:
    """Each tool with the shares of its wrong verdicts: `fits` of what ran out of memory, `rejected` of what ran."""
    ours = figures(results)
    told = [("tunekit", ours.false_fits, ours.false_rejected)]
    for peer in PEERS:
        found = peer_figures(results, peer)
        told.append((peer, found.false_fits, found.false_rejected))
    return [(tool, percent(fits), percent(rejected)) for tool, fits, rejected in told]


def percent(share: float | None) -> str:
    """A share of 1 in percent; `-` where there is none."""
    return "-" if share is None else f"{100 * share:.1f}%"


def unmapped_lines(unmapped: Sequence[Unmapped], *, verbose: bool) -> list[str]:
    """What was not mapped and why, counted; row by row where that is wanted."""
    if verbose:
        return [f"not mapped: {each.name}: {each.reason}" for each in unmapped]
    counts: Counter[tuple[str, str]] = Counter((each.group, each.reason) for each in unmapped)
    return [f"not mapped: {count:3} of {group}: {reason}" for (group, reason), count in sorted(counts.items())]


def _row_line(result: Result) -> str:
    setting, guess = result.setting, result.estimate
    measured = "-" if setting.measured_bytes is None else f"{setting.measured_bytes / 1e9:.2f}"
    values: Mapping[str, Any] = {"low": guess.low, "expected": guess.expected, "high": guess.high}
    band = " ".join(f"{name} {size / 1e9:.2f}" for name, size in values.items())
    error = f"{percent(result.error):>8}" if result.error is not None else f"{'':8}"
    return f"{setting.name:12}{error}  measured {measured} GB, {band}, {setting.reading}, {guess.verdict}"
