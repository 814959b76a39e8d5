from __future__ import annotations

import pytest
from planning import CODELLAMA_34B, laptop, machine, recipe_for, shape_of

from tunekit.planner.make import make_plan
from tunekit.planner.plan import Plan
from tunekit.render.pages.memory_bars import memory_charts, sizes_by_phase
from tunekit.units import GIB


def planned(kind: str = "qlora", preset: str = "z3_qlora") -> Plan:
    return make_plan(recipe_for(CODELLAMA_34B, kind, zero__preset=preset), shape_of(CODELLAMA_34B), machine())


def test_the_parts_of_a_phase_add_up_to_its_peak() -> None:
    plan = planned()
    for place in ("device", "host", "disk"):
        for peak in plan.memory.peaks:
            parts = sizes_by_phase(plan, place).get(peak.phase)
            assert parts is None or sum(parts.values()) == getattr(peak, f"{place}_bytes")


def test_there_is_a_chart_for_each_place_with_the_worst_phase_marked() -> None:
    plan = planned()
    device, host, disk = memory_charts(plan)
    assert [chart.title for chart in (device, host, disk)] == ["GPU (each of 2)", "host RAM", "disk"]
    assert [bar.label for bar in device.bars if bar.marked] == [plan.memory.device.worst_phase]


def test_bars_are_drawn_to_scale_against_the_usable_line() -> None:
    plan = planned()
    chart = memory_charts(plan)[0]
    usable = next(mark for mark in chart.marks if mark.kind == "usable")
    worst = next(bar for bar in chart.bars if bar.marked)
    length = sum(each.width for each in worst.segments)
    share = plan.memory.device.expected_bytes / plan.memory.device.usable_bytes
    assert length / usable.at == pytest.approx(share, abs=0.001)
    assert usable.text == "usable 23.5 GiB"
    assert chart.unit == "GiB"


def test_what_does_not_fit_goes_beyond_the_line_and_stays_on_the_picture() -> None:
    host = memory_charts(planned("full", "z3_offload"))[1]
    usable, high = host.marks
    worst = next(bar for bar in host.bars if bar.marked)
    assert worst.state == "rejected"
    assert usable.at < sum(each.width for each in worst.segments) <= high.at < 100


def test_a_machine_without_cards_has_two_charts() -> None:
    plan = make_plan(recipe_for(), shape_of("HuggingFaceTB/SmolLM2-135M-Instruct"), laptop())
    assert [chart.title for chart in memory_charts(plan)] == ["host RAM", "disk"]


def test_the_legend_tells_the_largest_size_of_each_part() -> None:
    plan = planned()
    first = memory_charts(plan)[0].legend[0]
    largest = max(plan.memory.terms, key=lambda term: term.device_bytes if term.phases else 0)
    assert first.name == largest.name
    assert first.amount == f"{largest.device_bytes / GIB:.1f} GiB"
