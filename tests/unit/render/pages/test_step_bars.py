from __future__ import annotations

import pytest
from planning import CODELLAMA_34B, machine, recipe_for, shape_of

from tunekit.planner.make import make_plan
from tunekit.render.pages.step_bars import SHOWN_SHARE, step_chart
from tunekit.speed.terms import SpeedEstimate


def estimate() -> SpeedEstimate:
    plan = make_plan(recipe_for(CODELLAMA_34B, "qlora", zero__preset="z3_qlora"), shape_of(CODELLAMA_34B), machine())
    assert plan.speed is not None
    return plan.speed


def test_the_costs_of_a_step_add_up_to_it() -> None:
    speed = estimate()
    (bar,) = step_chart(speed).bars
    low, high = step_chart(speed).marks
    drawn = sum(each.width for each in bar.segments) / high.at * speed.step_seconds.high
    assert drawn == pytest.approx(speed.step_seconds.expected, rel=SHOWN_SHARE * len(speed.terms))
    assert low.at < sum(each.width for each in bar.segments) < high.at


def test_the_largest_cost_comes_first() -> None:
    speed = estimate()
    (bar,) = step_chart(speed).bars
    assert bar.segments[0].name == speed.largest[0].name


def test_what_cannot_be_seen_is_left_to_the_table() -> None:
    speed = estimate()
    shown = {entry.name for entry in step_chart(speed).legend}
    assert "making batches" in {term.name for term in speed.terms}
    assert "making batches" not in shown
