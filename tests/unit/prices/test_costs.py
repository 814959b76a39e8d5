"""Rent, energy, tokens and the break-even, held against facts worked out by hand."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tunekit.prices.costs import (
    HOURS_A_MONTH,
    Ownership,
    break_even_hours,
    energy_cost,
    energy_kwh,
    in_usd,
    owned_per_hour,
    per_million_tokens,
    rent_cost,
)

ILLUSTRATION = Ownership(price=4000, years=3, watts=1000, kwh_price=0.30)
"""A 4,000 $ box over 3 years: at 30 % duty 0.51 $ an hour, 0.81 $ with energy."""
SEED_BOX = Ownership(price=42_723, years=3, watts=1000, kwh_price=0.6, currency="CNY", per_usd=7.1)


@pytest.mark.parametrize(
    ("per_hour", "tokens", "price"),
    [(1.80, 12_473, 0.040), (0.80, 4799, 0.046), (0.30, 4799, 0.017), (7.47, 3144, 0.66), (14.94, 8735, 0.48)],
)
def test_price_of_a_million_tokens(per_hour: float, tokens: float, price: float) -> None:
    assert per_million_tokens(per_hour, tokens) == pytest.approx(price, rel=0.03)


def test_rent_and_energy() -> None:
    assert rent_cost(6.5, 0.8) == pytest.approx(5.2)
    assert energy_kwh(6.5, 1000) == 6.5
    assert energy_cost(6.5, 0.3) == pytest.approx(1.95)
    assert in_usd(42_723, 7.1) == pytest.approx(6017.3, abs=0.1)


def test_an_hour_on_ones_own_machine() -> None:
    assert owned_per_hour(ILLUSTRATION, 0.3 * HOURS_A_MONTH) == pytest.approx(0.81, abs=0.005)


def test_above_30_percent_of_the_time_owning_wins() -> None:
    hours = break_even_hours(ILLUSTRATION, rent_usd=0.80)
    assert hours == pytest.approx(222.2, abs=0.1)
    assert hours is not None
    assert hours / HOURS_A_MONTH == pytest.approx(0.304, abs=0.001)


def test_another_currency_needs_its_rate() -> None:
    # 42,723 / 36 = 1,186.75 a month; 0.8 x 7.1 - 0.6 = 5.08 saved an hour.
    assert break_even_hours(SEED_BOX, rent_usd=0.80) == pytest.approx(1186.75 / 5.08)


def test_a_faster_rented_machine_is_used_for_fewer_hours() -> None:
    twice = break_even_hours(ILLUSTRATION, rent_usd=1.60, rented_speed=2.0)
    assert twice == pytest.approx(break_even_hours(ILLUSTRATION, rent_usd=0.80))


@pytest.mark.parametrize("rent", [0.30, 0.29, 0.40])
def test_where_owning_never_wins(rent: float) -> None:
    # Energy alone costs as much, or the hours of a month are not enough.
    assert break_even_hours(ILLUSTRATION, rent_usd=rent) is None


@given(price=st.floats(100, 1e6), years=st.floats(0.5, 10), kwh=st.floats(0.01, 2), rent=st.floats(0.05, 100))
def test_at_the_break_even_both_cost_the_same(price: float, years: float, kwh: float, rent: float) -> None:
    own = Ownership(price=price, years=years, watts=1000, kwh_price=kwh)
    hours = break_even_hours(own, rent_usd=rent)
    if hours is not None:
        assert owned_per_hour(own, hours) == pytest.approx(rent)
        assert hours <= HOURS_A_MONTH
