"""The table of a run in text, and the same as JSON."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from accuracy.report import by_reason, percent, unmapped_lines
from accuracy.setting import Unmapped

from throughput.figures import Result, figures

MEASURED = "measured, configuration complete"
"""The rows for which the project promises figures: every row that is mapped and measured."""


def groups_of(results: Sequence[Result]) -> dict[str, list[Result]]:
    """Rows by source, then the promised ones and the others."""
    groups: dict[str, list[Result]] = {}
    for each in results:
        groups.setdefault(each.setting.group, []).append(each)
    ordered = dict(sorted(groups.items()))
    kinds = {
        MEASURED: [each for each in results if each.setting.evidence == "measured"],
        "quoted or claimed": [each for each in results if each.setting.evidence != "measured"],
    }
    return {**ordered, **{name: chosen for name, chosen in kinds.items() if chosen}}


def as_json(results: Sequence[Result], unmapped: Sequence[Unmapped]) -> dict[str, Any]:
    """`groups` and `all` with the figures of each, `unmapped` with reasons."""
    return {
        "groups": {name: asdict(figures(chosen)) for name, chosen in groups_of(results).items()},
        "all": asdict(figures(results)),
        "unmapped": [
            {"reason": reason, "count": len(names), "rows": names} for reason, names in by_reason(unmapped).items()
        ],
    }


def as_text(results: Sequence[Result], unmapped: Sequence[Unmapped], *, verbose: bool = False) -> str:
    """The table, and what could not be mapped."""
    lines = [_HEAD, "-" * len(_HEAD)]
    lines += [_line(name, chosen) for name, chosen in {**groups_of(results), "all": list(results)}.items()]
    lines += ["", *unmapped_lines(unmapped, verbose=verbose)]
    if verbose:
        lines += ["", *(_row_line(each) for each in results)]
    return "\n".join(lines)


_HEAD = f"{'group':42}{'n':>5}{'median':>8}{'p90':>8}{'p95':>8}{'bias':>8}{'inside':>8}{'+-band':>8}"


def _line(name: str, results: Sequence[Result]) -> str:
    found = figures(results)
    cells = (found.median_error, found.p90_error, found.p95_error, found.bias, found.inside_band, found.half_band)
    return f"{name:42}{found.n:>5}" + "".join(f"{percent(cell):>8}" for cell in cells)


def _row_line(result: Result) -> str:
    band, setting, seconds = result.tokens_per_second, result.setting, result.estimate.step_seconds.expected
    said = f"measured {setting.measured:,.0f}, low {band.low:,.0f} expected {band.expected:,.0f} high {band.high:,.0f}"
    costs = ", ".join(f"{term.name} {term.seconds / seconds:.0%}" for term in result.estimate.largest)
    job = setting.job
    what = f"{setting.shape.name.rpartition('/')[2]} {job.method} s{job.max_seq_length} m{job.batch.micro_batch_size}"
    return f"{setting.name:>5}{percent(result.error):>9}  {what:32} {said}; {costs}"
