from __future__ import annotations

from unittest.mock import patch

import pytest
from comparing import PRICES, offer
from planning import LLAMA_8B, machine, recipe_for, shape_of

from tunekit.planner.cheapest import bounds_of, find_cheapest
from tunekit.planner.compare import cheapest_machine, compare, rented_side
from tunekit.planner.make import make_plan
from tunekit.planner.plan import Plan
from tunekit.prices.loading import load_prices

LLAMA_70B = "meta-llama/Llama-2-70b-hf"
CASES = [
    (LLAMA_70B, "lora", 2048, True),
    (LLAMA_70B, "qlora", 512, True),
    (LLAMA_8B, "lora", 256, False),
]


def planned(model: str, kind: str, length: int = 2048, packing: bool | None = None) -> Plan:
    recipe = recipe_for(model, kind, train__max_seq_length=length, data__packing=packing)
    return make_plan(recipe, shape_of(model), machine())


@pytest.mark.parametrize(("model", "kind", "length", "packing"), CASES)
def test_it_is_the_one_that_the_whole_comparison_finds_and_no_machine_is_cheaper_than_its_bound(
    model: str, kind: str, length: int, packing: bool | None
) -> None:
    plan = planned(model, kind, length, packing)
    whole = compare(plan, load_prices(), owned=None, tokens=3_000_000)
    found = find_cheapest(plan, load_prices(), tokens=3_000_000)
    assert found == cheapest_machine(whole.rented)
    bounds = {(each.group[0].card, each.group[0].count): each.usd for each in bounds_of(plan, load_prices())}
    told = [(side.offer, side.per_million(side.usd_per_hour)) for side in whole.fitting]
    held = [bounds[offer.card, offer.count] <= usd for offer, usd in told if offer is not None and usd is not None]
    assert len(held) > 5
    assert all(held)


def test_machines_that_cannot_be_cheaper_are_not_planned_for() -> None:
    plan = planned(LLAMA_70B, "lora")
    with patch("tunekit.planner.cheapest.rented_side", wraps=rented_side) as weighed:
        find_cheapest(plan, load_prices(), tokens=1_000_000)
    machines = {(each.card, each.count) for each in load_prices() if each.card is not None}
    assert 0 < weighed.call_count < 0.7 * len(machines)


def test_where_nothing_surely_fits_or_has_a_price_on_demand_there_is_none() -> None:
    plan = planned(LLAMA_70B, "full")
    offers = (*PRICES, offer("H200", 8, None, spot=9.0))
    assert find_cheapest(plan, offers, tokens=1_000_000) is None
