from __future__ import annotations

from dataclasses import replace

import pytest

from tunekit.hardware.gpu_table import known_gpus
from tunekit.hardware.profiles import load_profile
from tunekit.hardware.spec import Hardware, Price
from tunekit.prices.hourly import hourly_of
from tunekit.prices.loading import load_prices
from tunekit.prices.offers import offers
from tunekit.prices.owning import owned


def test_ones_own_machine_costs_its_electricity() -> None:
    found = hourly_of(load_profile("dual_rtx4090"), load_prices())
    assert (found.amount, found.currency) == (pytest.approx(0.56), "CNY")
    assert "1,000 W at 0.56 CNY per kWh" in found.said


def test_a_machine_that_nobody_bought_costs_its_cheapest_hire() -> None:
    found = hourly_of(load_profile("8x_h100_80gb"), load_prices())
    cheapest = next(each for each in offers(load_prices(), count=8) if each.gpu == "H100 SXM")
    assert (found.amount, found.currency) == (cheapest.on_demand, "USD")
    assert cheapest.provider in found.said


def test_without_an_offer_and_here_it_is_electricity_too() -> None:
    rented = load_profile("8x_h100_80gb")
    for machine, prices in ((rented, ()), (replace(rented, name="local"), load_prices())):
        found = hourly_of(machine, prices)
        assert found.said.startswith("electricity of ")
        assert found.currency == "USD"


def test_a_price_that_its_list_does_not_believe_is_nobodys_hire() -> None:
    found = hourly_of(with_cards("h200"), load_prices())
    cheapest, *_ = [each for each in offers(load_prices(), card="h200", count=1) if not each.doubtful]
    assert found.amount == cheapest.on_demand
    assert cheapest is not offers(load_prices(), card="h200", count=1)[0]


def test_a_purchase_in_a_currency_whose_kwh_is_not_known_is_told_in_dollars() -> None:
    machine = replace(with_cards("h200"), price=Price(amount=30_000, currency="GBP", date="2026-11", note=""))
    found = hourly_of(machine, load_prices())
    assert found.said.startswith("electricity of ")
    assert found.currency == "USD"


def test_cards_of_several_kinds_are_hired_nowhere() -> None:
    assert hourly_of(with_cards("h200", "a100_80gb"), load_prices()).said.startswith("electricity of ")


def with_cards(*names: str) -> Hardware:
    gpus = tuple(known_gpus()[name].gpu for name in names)
    return replace(load_profile("8x_h100_80gb"), name="another", gpus=gpus, price=None)


def test_the_price_of_the_drive_is_told_in_the_same_currency_and_a_hired_one_wears_for_nothing() -> None:
    own = load_profile("dual_rtx4090")
    priced = replace(own, disks=tuple(replace(disk, price=850.0) for disk in own.disks))
    assert hourly_of(own, ()).drive is None
    assert hourly_of(priced, ()).drive == 850.0
    typed = owned(own, ["price=1", "currency=EUR"])
    assert typed is not None
    assert hourly_of(priced, (), typed.own).drive is None
    assert hourly_of(load_profile("8x_h100_80gb"), load_prices()).drive == 0.0
