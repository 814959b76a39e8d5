"""Offers: which cards, which price, how old."""

from __future__ import annotations

from datetime import date
from typing import Any

import pytest

from tunekit.prices.offers import Offer, age_days, age_warning, offers, price_day, unknown_gpus


def offer(**changes: Any) -> Offer:
    known: dict[str, Any] = {"provider": "a", "gpu": "RTX 4090", "count": 2, "on_demand": 0.8, "spot": None}
    return Offer(**{**known, "source": "list", "date": "2026-07-01", **changes})


def test_a_card_is_known_by_what_lists_call_it() -> None:
    assert offer().card == "rtx_4090"
    assert offer(gpu="A100-80 SXM").card == "a100_80gb"
    assert offer(gpu="MI300X").card is None


def test_the_cheapest_on_demand_comes_first_and_spot_only_last() -> None:
    dear, cheap, spot = offer(on_demand=1.0), offer(on_demand=0.5), offer(on_demand=None, spot=0.1)
    assert offers([dear, spot, cheap]) == (cheap, dear, spot)


def test_offers_of_one_kind() -> None:
    found = [offer(), offer(count=4), offer(gpu="H100")]
    assert offers(found, card="rtx_4090", count=4) == (found[1],)
    assert offers(found, card="h100_80gb") == (found[2],)
    assert offers(found, card="t4") == ()


def test_cards_that_nothing_can_be_planned_for() -> None:
    assert unknown_gpus([offer(gpu="MI300X"), offer(), offer(gpu="B300"), offer(gpu="B300")]) == ("B300", "MI300X")


@pytest.mark.parametrize(
    ("text", "day"),
    [
        ("2025-09-17", date(2025, 9, 17)),
        ("2026-07 (v9 seed)", date(2026, 7, 1)),
        ("", None),
        ("last week", None),
        ("2026-13-01", None),
    ],
)
def test_the_day_of_a_price(text: str, day: date | None) -> None:
    assert price_day(text) == day


@pytest.mark.parametrize(
    ("text", "today", "said"),
    [
        ("2026-07-01", date(2026, 9, 29), ""),
        ("2026-07-01", date(2026, 9, 30), "price of 2026-07-01, 91 days old"),
        ("", date(2026, 9, 30), "price without a date"),
    ],
)
def test_prices_older_than_90_days_say_so(text: str, today: date, said: str) -> None:
    assert age_warning(offer(date=text), today) == said


def test_age_needs_a_date() -> None:
    assert age_days(offer(date="2026-07-01"), date(2026, 7, 3)) == 2
    assert age_days(offer(date=""), date(2026, 7, 3)) is None
