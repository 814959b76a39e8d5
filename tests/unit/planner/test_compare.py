from __future__ import annotations

import pytest
from comparing import PRICES, compared, offer, planned

from tunekit.planner.compare import TOLD_TOKENS, Comparison, Side, cheapest_machine, compare, movable, tokens_of
from tunekit.prices.costs import break_even_hours
from tunekit.prices.loading import load_prices
from tunekit.prices.owning import owned


def side(found: Comparison, name: str) -> Side:
    (each,) = (side for side in found.rented if side.name == name)
    return each


def test_the_cheapest_offer_and_the_cheapest_spot_stand_for_a_machine() -> None:
    h100 = side(compared(), "1 x H100")
    assert h100.offer is not None
    assert h100.spot is not None
    assert (h100.offer.provider, h100.usd_per_hour) == ("Other", 1.5)
    assert (h100.spot.provider, h100.spot_usd_per_hour) == ("Third", 0.5)


def test_hours_energy_and_money_follow_from_speed_and_price() -> None:
    for each in compared().fitting:
        assert each.tokens_per_second is not None
        assert each.hours is not None
        hours = TOLD_TOKENS / each.tokens_per_second.expected / 3600
        assert each.hours.expected == pytest.approx(hours)
        assert each.hours.low < hours < each.hours.high
        assert each.cost(each.usd_per_hour) == pytest.approx(each.per_million(each.usd_per_hour))
        assert each.cost(each.usd_per_hour) == pytest.approx(hours * (each.usd_per_hour or 0))


def test_what_the_job_fits_comes_first_the_cheapest_per_token_first() -> None:
    found = compared()
    assert [each.verdict == "rejected" for each in found.rented] == [False, False, True]
    prices = [each.per_million(each.usd_per_hour) or 0 for each in found.fitting]
    assert prices == sorted(prices)


def test_what_it_does_not_fit_says_why_and_costs_nothing() -> None:
    small = side(compared(), "1 x T4")
    assert small.verdict == "rejected"
    assert "more than the" in small.reason
    assert (small.hours, small.cost(small.usd_per_hour), small.per_million(small.usd_per_hour)) == (None, None, None)


def test_a_batch_that_no_number_of_its_cards_can_share_is_told_by_its_key() -> None:
    found = compare(planned(), (offer("RTX 4090", count=3),), owned=None)
    (side,) = found.rented
    assert side.reason == "train.global_batch_size: 16 rows cannot be shared by 3 processes."


def test_doubtful_prices_are_not_used_and_unknown_cards_are_named() -> None:
    found = compared()
    assert "1 x A100-80" not in {each.name for each in found.rented}
    assert found.unknown == ("MI300X",)


def test_the_break_even_is_that_of_the_arithmetic() -> None:
    found = compared()
    twin = side(found, "2 x RTX 4090")
    assert found.owned is not None
    assert found.own.tokens_per_second is not None
    assert twin.tokens_per_second is not None
    ratio = twin.tokens_per_second.expected / found.own.tokens_per_second.expected
    assert twin.even_hours == break_even_hours(found.owned.own, rent_usd=0.8, rented_speed=ratio)
    assert twin.even_hours is not None


def test_owning_is_dearer_than_its_electricity() -> None:
    found = compared()
    assert found.own_usd_never_idle is not None
    electricity = found.own.per_million(found.own.usd_per_hour)
    assert electricity is not None
    assert found.own_usd_never_idle > 2 * electricity


def test_without_a_price_of_the_machine_there_is_no_break_even() -> None:
    found = compare(planned(), PRICES, owned=None)
    assert found.own_usd_never_idle is None
    assert {each.even_hours for each in found.rented} == {None}
    assert found.own.usd_per_hour is None


def test_a_job_that_the_machine_cannot_do_is_compared_all_the_same() -> None:
    found = compare(planned("full", "z3_offload"), (offer("H100", 8, 15.0), offer("B200", 8, 44.0)), owned=None)
    assert found.own.verdict == "rejected"
    assert found.own.hours is None
    assert found.own.reason == planned("full", "z3_offload").reason
    assert "8 x B200" in {each.name for each in found.fitting}


def test_another_machine_places_the_states_anew_but_keeps_rows_and_packing() -> None:
    plan = planned()
    recipe = movable(plan)
    assert recipe.train.global_batch_size == plan.job.batch.global_batch_size
    assert recipe.data.packing == plan.job.packing
    assert recipe.train.micro_batch_size is None
    assert recipe.zero.preset is None
    assert recipe.method == plan.recipe.method


def test_tokens_are_those_of_the_run_where_its_steps_are_known() -> None:
    assert tokens_of(planned()) is None
    plan = planned(steps=100)
    speed = plan.speed
    assert speed is not None
    assert tokens_of(plan) == 100 * speed.tokens_per_step
    assert compare(plan, PRICES[:1], owned=owned(plan.hardware)).tokens == tokens_of(plan)
    assert compare(plan, PRICES[:1], owned=None, tokens=5).tokens == 5


def test_the_cheapest_machine_is_that_on_which_the_whole_job_costs_least_and_surely_fits() -> None:
    plan = planned("full", "z3_offload")
    assert plan.verdict == "rejected"
    # Per hour the slower machine is cheaper, by less than it is slower.
    offers = (offer("B200", 8, 42.0), offer("H200", 8, 40.0), offer("RTX 4090", 2, 0.1))
    found = compare(plan, offers, owned=None, tokens=2_000_000)
    cheapest = cheapest_machine(found.rented)
    sure = [each for each in found.fitting if each.verdict == "fits"]
    assert cheapest is not None
    assert cheapest.usd_per_hour == 42.0
    assert min(each.usd_per_hour or 0 for each in sure) == 40.0
    assert cheapest.cost(cheapest.usd_per_hour) == min(each.cost(each.usd_per_hour) or 0 for each in sure)


def test_where_nothing_fits_or_has_a_price_on_demand_no_machine_is_the_cheapest() -> None:
    offers = (offer("RTX 4090", 2, 0.8), offer("H200", 8, None, spot=9.0))
    found = compare(planned("full", "z3_offload"), offers, owned=None)
    assert found.fitting
    assert cheapest_machine(found.rented) is None


def test_what_each_machine_gives_up_is_that_of_its_own_plan() -> None:
    found = compare(planned("full", "z3_offload"), load_prices(), owned=None)
    given = {side.name: side.losses for side in found.fitting}
    assert ("bf16 states",) in given.values()
    assert () in given.values()
    assert all(side.losses == ("adapters", "4-bit base") for side in compared().fitting)


def test_the_own_machine_has_the_freedom_of_the_rented_ones() -> None:
    """Else the same cards would be faster rented than owned."""
    free, tied = (compare(planned(**keys), PRICES, owned=None) for keys in ({}, {"train__micro_batch_size": 1}))
    assert free.as_written is None
    assert tied.as_written is not None
    assert tied.own.tokens_per_second is not None
    assert tied.own.tokens_per_second.expected > 1.01 * tied.as_written.expected
    assert tied.own.tokens_per_second == free.own.tokens_per_second
