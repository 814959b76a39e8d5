from __future__ import annotations

from dataclasses import replace

import pytest
from planning import machine

from tunekit.errors import UsageError
from tunekit.prices.owning import CURRENCIES, YEARS, owned


def test_the_profile_and_the_defaults_make_the_cost_of_the_seed_box() -> None:
    found = owned(machine())
    assert found is not None
    own = found.own
    assert (own.price, own.currency, own.years, own.watts) == (42723, "CNY", YEARS, 1000)
    assert own.kwh_price == CURRENCIES["CNY"].kwh
    assert own.monthly == pytest.approx(42723 / 36)
    assert own.hourly == pytest.approx(0.56)


def test_every_figure_names_its_source() -> None:
    found = owned(machine())
    assert found is not None
    said = " ".join(found.said)
    for part in ("what the owner paid", "assumption", "households in China", "1,000 W", "central parity"):
        assert part in said


def test_what_is_typed_stands_over_the_rest_and_says_so() -> None:
    found = owned(machine(), ["price=5000", "currency=eur", "years=4", "kwh=0.3", "usd=0.9"])
    assert found is not None
    assert (found.own.price, found.own.currency, found.own.years) == (5000, "EUR", 4)
    assert (found.own.kwh_price, found.own.per_usd) == (0.3, 0.9)
    assert " ".join(found.said).count("as typed") == 4


def test_a_machine_without_a_price_costs_what_is_typed_or_nothing_is_known() -> None:
    free = replace(machine(), price=None)
    assert owned(free, ["years=2"]) is None
    typed = owned(free, ["price=4000"])
    assert typed is not None
    assert (typed.own.currency, typed.own.per_usd) == ("USD", 1.0)


def test_a_currency_that_nobody_knows_needs_its_worth_and_its_electricity() -> None:
    found = owned(machine(), ["price=1000", "currency=SEK", "kwh=1.5", "usd=9.5"])
    assert found is not None
    assert (found.own.kwh_price, found.own.per_usd) == (1.5, 9.5)
    with pytest.raises(UsageError, match=r"type kwh=.* and usd="):
        owned(machine(), ["price=1000", "currency=SEK"])


@pytest.mark.parametrize(
    ("word", "said"),
    [
        ("curency=EUR", "Did you mean currency="),
        ("years", "write KEY=VALUE"),
        ("years=0", "must be a number above 0"),
        ("kwh=cheap", "must be a number above 0"),
        ("price=nan", "must be a number above 0"),
        ("usd=inf", "must be a number above 0"),
        ("currency=EUR", "the price is in CNY; type price="),
    ],
)
def test_a_wrong_word_is_named(word: str, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        owned(machine(), [word])
