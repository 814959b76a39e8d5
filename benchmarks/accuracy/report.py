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


def as_json(results: Sequence[Result], unmapped: Sequence[Unmapped]) -> dict[str, Any]:
    """`groups` and `all` with the figures of each, `peers` beside them, `unmapped` with reasons."""
    return {
        "groups": {name: _as_json(chosen) for name, chosen in groups_of(results).items()},
        "all": _as_json(results),
        "unmapped": [
            {"reason": reason, "count": len(names), "rows": names} for reason, names in by_reason(unmapped).items()
        ],
    }


def _as_json(results: Sequence[Result]) -> dict[str, Any]:
    peers = {peer: peer_figures(results, peer) for peer in PEERS}
    return {
        **asdict(figures(results)),
        "peers": {
            name: {"n": n, "median_error": middle, "p90_error": high} for name, (n, middle, high) in peers.items()
        },
    }


def by_reason(unmapped: Sequence[Unmapped]) -> dict[str, list[str]]:
    """Names of rows by why they were not mapped, the commonest reason first."""
    reasons: dict[str, list[str]] = {}
    for each in unmapped:
        reasons.setdefault(each.reason, []).append(each.name)
    return dict(sorted(reasons.items(), key=lambda item: -len(item[1])))


def as_text(results: Sequence[Result], unmapped: Sequence[Unmapped], *, verbose: bool = False) -> str:
    """The table, and what could not be mapped."""
    lines = [_HEAD, "-" * len(_HEAD)]
    lines += [_line(name, chosen) for name, chosen in {**groups_of(results), "all": list(results)}.items()]
    lines += ["", _peer_head(), "-" * len(_peer_head())]
    lines += [_peer_line(name, chosen) for name, chosen in {**groups_of(results), "all": list(results)}.items()]
    lines += ["", *unmapped_lines(unmapped, verbose=verbose)]
    if verbose:
        lines += ["", *(_row_line(each) for each in results)]
    return "\n".join(lines)


_HEAD = (
    f"{'group':22}{'n':>5}{'median':>8}{'p90':>8}{'p95':>8}{'bias':>8}{'inside':>8}{'+-band':>8}"
    f"{'false fits':>16}{'false rejected':>16}"
)


def _line(name: str, results: Sequence[Result]) -> str:
    found: Figures = figures(results)
    cells = (found.median_error, found.p90_error, found.p95_error, found.bias, found.inside_band, found.half_band)
    text = "".join(f"{percent(cell):>8}" for cell in cells)
    fits = f"{percent(found.false_fits)} of {found.failed}"
    rejected = f"{percent(found.false_rejected)} of {found.ran}"
    return f"{name:22}{found.n:>5}{text}{fits:>16}{rejected:>16}"


def _peer_head() -> str:
    return f"{'median (p90) of |error|':22}{'tunekit':>17}" + "".join(f"{peer:>22}" for peer in PEERS)


def _peer_line(name: str, results: Sequence[Result]) -> str:
    ours = figures(results)
    cells = [f"{percent(ours.median_error)} ({percent(ours.p90_error)})"]
    for peer in PEERS:
        n, middle, high = peer_figures(results, peer)
        cells.append(f"{percent(middle)} ({percent(high)})" if n else "not installed" if ours.n else "-")
    return f"{name:22}{cells[0]:>17}" + "".join(f"{cell:>22}" for cell in cells[1:])


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
