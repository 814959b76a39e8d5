from __future__ import annotations

from dataclasses import replace
from datetime import date

import pytest
from comparing import compared

from tunekit.render.pages.bars import Chart
from tunekit.render.pages.compare_view import PURCHASE, RENT, SPOT, compare_sections
from tunekit.render.pages.parts import Table

TODAY = date(2026, 11, 22)


def test_a_bar_per_machine_adds_up_to_the_price_on_demand() -> None:
    found = compared()
    chart = compare_sections(found, TODAY)[0].parts[0]
    assert isinstance(chart, Chart)
    own, h100, *_ = chart.bars
    assert own.marked
    assert [each.name for each in own.segments] == ["electricity", PURCHASE]
    assert [each.name for each in h100.segments] == [SPOT, RENT]
    length = [sum(each.width for each in bar.segments) for bar in (own, h100)]
    prices = [found.own_usd_never_idle, found.rented[0].per_million(1.5)]
    assert length[0] / length[1] == pytest.approx((prices[0] or 0) / (prices[1] or 1), rel=1e-3)


def test_the_table_tells_sources_and_break_even() -> None:
    table = compare_sections(compared(), TODAY)[0].parts[1]
    assert isinstance(table, Table)
    assert table.head[-1] == "own is cheaper from, a month"
    assert "Other, 2026-01-01, 325 days old" in table.rows[1][0].more
    assert table.rows[1][-1].text.endswith("%)")
    assert all(len(row) == len(table.head) for row in table.rows)


def test_what_does_not_fit_and_what_owning_counts_are_closed_sections() -> None:
    _, owning, refused = compare_sections(compared(), TODAY)
    assert not owning.open
    assert not refused.open
    assert "1 x T4" in str(refused.parts)


def test_without_any_price_of_the_own_machine_its_bar_is_left_out() -> None:
    found = compared()
    free = replace(found, owned=None, own_usd_never_idle=None, own=replace(found.own, usd_per_hour=None))
    chart = compare_sections(free, TODAY)[0].parts[0]
    assert isinstance(chart, Chart)
    assert found.own.name not in {bar.label for bar in chart.bars}
