from __future__ import annotations

import io
from dataclasses import replace
from typing import Any

import pytest
from rich.console import Console
from trials.report import GROWTH, Boundary, Comparison, compare, expected_bytes, show
from trials.rows import ALLOCATED, NVML, RSS, Origin, rows_of

from tests.plans import DUAL_4090
from tunekit.units import GIB, MIB


def texts(rows: list[dict[str, Any]]) -> list[dict[str, str]]:
    """As they come back from the file."""
    return [{name: str(value) for name, value in row.items()} for row in rows]


def test_each_reading_is_held_against_what_it_can_see(trial: Any, origin: Origin) -> None:
    made = trial()
    found, edges = compare(texts(rows_of(made, origin, first=1)), [made.case], DUAL_4090)
    by_reading = {(item.phase, item.metric): item for item in found}
    terms = [term for term in made.plan.memory.terms if "step" in term.phases]
    assert by_reading["step", ALLOCATED].expected == sum(term.device_bytes for term in terms if term.pooled)
    assert by_reading["step", "NVML memory used"].expected == made.plan.memory.device.expected_bytes
    growth = by_reading["step", GROWTH]
    assert growth.measured == 2 * GIB - 700 * MIB
    assert growth.expected == expected_bytes(made.plan, "step", RSS)
    assert growth.expected == sum(term.host_bytes for term in terms if term.name != "processes")
    assert edges == []


def test_other_cases_and_failed_ones_are_not_compared(trial: Any, origin: Origin) -> None:
    made = trial(outcome="failed", measured={})
    rows = texts(rows_of(made, origin, first=1))
    assert compare(rows, [made.case], DUAL_4090) == ([], [])
    assert compare(rows, [replace(made.case, length=256)], DUAL_4090) == ([], [])


@pytest.mark.parametrize(
    ("verdict", "outcome", "agrees"),
    [("fits", "ok", True), ("fits", "oom", False), ("rejected", "oom", True), ("rejected", "ok", False)],
)
def test_the_edge_of_a_card(verdict: str, outcome: str, agrees: bool) -> None:
    assert Boundary(case="x", verdict=verdict, outcome=outcome).agrees is agrees


def test_a_limited_case_is_an_edge(trial: Any, origin: Origin) -> None:
    made = trial(case=replace(trial().case, limit_gb=24), outcome="oom", measured={})
    _, (edge,) = compare(texts(rows_of(made, origin, first=1)), [made.case], DUAL_4090)
    assert (edge.verdict, edge.outcome) == (made.plan.verdict, "oom")


def test_the_table_has_errors_medians_and_edges() -> None:
    about = {"case": "c", "group": "lora", "metric": NVML}
    items = [
        Comparison(**about, phase="load", measured=GIB, expected=GIB * 11 // 10),
        Comparison(**about, phase="step", measured=GIB, expected=GIB * 7 // 10),
    ]
    file = io.StringIO()
    edges = [Boundary(case="e", verdict="fits", outcome="oom")]
    show(items, edges, Console(file=file, width=160))
    lines = [" ".join(line.split()) for line in file.getvalue().splitlines()]
    assert any(line.startswith("c load") and line.endswith("+10.0%") for line in lines)
    assert f"{NVML} all 2 20.0% -10.0% 30.0%" in lines
    assert "DISAGREES fits oom e" in lines
    assert lines[-1] == "0 of 1 cases at the edge of a card agree"
