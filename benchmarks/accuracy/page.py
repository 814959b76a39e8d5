"""The table of a run as Markdown, for a page."""

from __future__ import annotations

from collections.abc import Sequence

from accuracy.figures import Result, figures
from accuracy.peers import PEERS
from accuracy.report import by_reason, groups_of, peer_cell, percent, rates_of, verdict_lines
from accuracy.setting import Unmapped

_PROMISED_INSIDE = 0.9


def as_markdown(results: Sequence[Result], unmapped: Sequence[Unmapped], *, data: str, date: str) -> str:
    """What was read and when; the groups; every tool's wrong verdicts; the groups outside; what was not mapped."""
    groups = {**groups_of(results), "all": list(results)}
    return "\n\n".join(
        (
            _told(results, unmapped, data=data, date=date),
            "\n".join((*_HEAD, *(_line(name, chosen) for name, chosen in groups.items()))),
            "\n".join((*_VERDICTS, *(f"| {' | '.join(cells)} |" for cells in verdict_lines(results)))),
            _of_planner(groups["all"]),
            _outside(groups),
            _left_out(unmapped),
        )
    )


def _told(results: Sequence[Result], unmapped: Sequence[Unmapped], *, data: str, date: str) -> str:
    found = figures(results)
    return (
        f"`benchmarks/memory_accuracy.py --data {data} --write-page` on {date}: {len(results) + len(unmapped):,} "
        f"rows, of which {found.n:,} have a figure to compare, {found.failed} ran out of memory, "
        f"{found.ran} are known to have run on their card, and {len(unmapped)} are not mapped. Errors are "
        "|estimate - measured| / measured, bias their signed median, the band (high - low) / 2 of the median row; "
        "in the columns of other tools: median (90th percentile) on the same rows."
    )


_COLUMNS = ("rows", "n", "median", "p90", "bias", "in band", "± band", "false fits", "false rejected", *PEERS)
_HEAD = (f"| {' | '.join(_COLUMNS)} |", "|---" + "|--:" * (len(_COLUMNS) - 1) + "|")
_VERDICTS = ("| tool | `fits` that ran out of memory | `rejected` that ran |", "|---|--:|--:|")


def _line(name: str, results: Sequence[Result]) -> str:
    found = figures(results)
    rates = rates_of(found)
    shares = (found.median_error, found.p90_error, found.bias, found.inside_band, found.half_band)
    peers = (peer_cell(results, peer) for peer in PEERS)
    cells = (name, str(found.n), *map(percent, shares), rates["fits"], rates["rejected"], *peers)
    return f"| {' | '.join(cells)} |"


def _of_planner(results: list[Result]) -> str:
    found = figures(results)
    return (
        f"tunekit's false `fits` are {percent(found.false_fits)} with the program's allocator replayed, and "
        f"{percent(found.false_fits_of_planner)} by the planner's verdict alone: most of these programs ran without "
        "expandable segments, so that torch reserved more than their tensors needed, and the benchmark replays that. "
        "tunekit's own runs have expandable segments, and its planner has no replay."
    )


def _outside(groups: dict[str, list[Result]]) -> str:
    shares = ((name, figures(chosen)) for name, chosen in groups.items())
    low = [
        f"{name} ({found.inside_band:.0%} of {found.n})"
        for name, found in shares
        if found.inside_band is not None and found.inside_band < _PROMISED_INSIDE
    ]
    return f"Less than {_PROMISED_INSIDE:.0%} inside the band: {', '.join(low)}." if low else "All are inside the band."


def _left_out(unmapped: Sequence[Unmapped]) -> str:
    reasons = (f"{reason} ({len(names)})" for reason, names in by_reason(unmapped).items())
    return f"Not mapped: {'; '.join(reasons)}." if unmapped else "Every row is mapped."
