"""Measured rows beside what tunekit estimates today for the same case: the error of each, and of all."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import median

from rich.console import Console
from rich.table import Table

from trials.case import Case, machine_for, plan_of
from trials.rows import ALLOCATED, NVML, PHASES, RSS, case_name
from tunekit.hardware.spec import Hardware
from tunekit.planner.plan import Plan
from tunekit.units import GIB

GROWTH = "host growth"


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """One reading: measured and expected bytes. Host memory is the growth since the imports."""

    case: str
    group: str
    phase: str
    metric: str
    measured: int
    expected: int

    @property
    def error(self) -> float:
        """(expected - measured) / measured."""
        return (self.expected - self.measured) / max(1, self.measured)


@dataclass(frozen=True, slots=True, kw_only=True)
class Boundary:
    """A case at the edge of a card: what the plan says and what became of it."""

    case: str
    verdict: str
    outcome: str

    @property
    def agrees(self) -> bool:
        """A plan that `fits` ran, a `rejected` one did not."""
        return {"fits": "ok", "rejected": "oom"}.get(self.verdict) == self.outcome


def compare(
    rows: Sequence[Mapping[str, str]], cases: Iterable[Case], here: Hardware
) -> tuple[list[Comparison], list[Boundary]]:
    """Every reading that an estimate answers, and every case on a limited card. Cases not in `cases` are left out."""
    found: list[Comparison] = []
    edges: list[Boundary] = []
    for case in cases:
        own = [row for row in rows if case_name(row) == case.name]
        if not own:
            continue
        plan = plan_of(case, machine_for(case, here))
        found += _readings(case, plan, own)
        if case.limit_gb is not None:
            edges.append(Boundary(case=case.name, verdict=plan.verdict, outcome=own[0]["outcome"]))
    return found, edges


def expected_bytes(plan: Plan, phase: str, metric: str) -> int:
    """What the plan says of a reading: torch's own counter sees what goes through its allocator, NVML everything.

    From outside, the phases of a step cannot be told apart.
    """
    if metric == NVML and phase == "step":
        return max(_expected(plan, part, metric) for part in ("first forward", "step", "optimizer"))
    return _expected(plan, phase, metric)


def _expected(plan: Plan, phase: str, metric: str) -> int:
    terms = [term for term in plan.memory.terms if phase in term.phases]
    if metric == RSS:
        return sum(term.host_bytes for term in terms if term.name != "processes")
    return sum(term.device_bytes for term in terms if term.pooled or metric == NVML)


def _readings(case: Case, plan: Plan, rows: Sequence[Mapping[str, str]]) -> list[Comparison]:
    base = next((int(row["host_ram_value"]) for row in rows if row["phase"] == "idle"), 0)
    words = {word: phase for phase, word in PHASES.items()}
    found = []
    for row in rows:
        phase, metric = words.get(row["phase"]), row["mem_metric"]
        if phase is None or metric not in (ALLOCATED, NVML, RSS):
            continue
        on_host = metric == RSS
        measured = int(row["host_ram_value"]) - base if on_host else int(row["gpu_mem_value"])
        expected = expected_bytes(plan, phase, metric)
        what = GROWTH if on_host else metric.partition(",")[0]
        each = {"case": case.name, "group": case.method, "phase": phase, "metric": what}
        found.append(Comparison(**each, measured=measured, expected=expected))
    return found


def show(comparisons: Sequence[Comparison], edges: Sequence[Boundary], console: Console) -> None:
    """The rows, then median and worst by metric and phase, then the boundary."""
    console.print(_each(comparisons))
    console.print(_summary(comparisons))
    for edge in edges:
        console.print(f"{'agrees   ' if edge.agrees else 'DISAGREES'} {edge.verdict:9} {edge.outcome:8} {edge.case}")
    if edges:
        console.print(f"{sum(edge.agrees for edge in edges)} of {len(edges)} cases at the edge of a card agree")


def _each(comparisons: Sequence[Comparison]) -> Table:
    table = Table(box=None, pad_edge=False)
    for heading in ("case", "phase", "metric", "measured GiB", "expected GiB", "error"):
        table.add_column(heading, justify="left" if heading in ("case", "phase", "metric") else "right", no_wrap=True)
    for item in comparisons:
        sizes = (f"{item.measured / GIB:.3f}", f"{item.expected / GIB:.3f}", f"{item.error:+.1%}")
        table.add_row(item.case, item.phase, item.metric, *sizes)
    return table


def _summary(comparisons: Sequence[Comparison]) -> Table:
    table = Table(box=None, pad_edge=False)
    for heading in ("metric", "phase", "n", "median |error|", "bias", "worst"):
        table.add_column(heading, justify="left" if heading in ("metric", "phase") else "right")
    groups = sorted({(item.metric, item.phase) for item in comparisons})
    for metric in dict.fromkeys(metric for metric, _ in groups):
        groups.append((metric, "all"))
    for metric, phase in groups:
        errors = [item.error for item in comparisons if item.metric == metric and phase in (item.phase, "all")]
        sizes = sorted(map(abs, errors))
        table.add_row(
            metric, phase, str(len(errors)), f"{median(sizes):.1%}", f"{median(errors):+.1%}", f"{sizes[-1]:.1%}"
        )
    return table
