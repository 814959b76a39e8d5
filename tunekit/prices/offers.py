"""`Offer`: a machine that can be rented, with its price, where the price was seen and when."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date

from tunekit.hardware.gpu_table import card_sold_as

DOUBT = "probably"
"""How the note of a price begins that its own list does not believe: such a one is nobody's cheapest."""
STALE_DAYS = 90
"""Prices older than this say so: markets move by a fifth in a quarter."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Offer:
    """One machine of one provider. Prices are USD per hour of the whole machine; None where the list has none."""

    provider: str
    gpu: str
    """As the price list calls it."""
    count: int
    on_demand: float | None
    spot: float | None
    """Of a machine that may be taken away at any moment."""
    source: str
    date: str
    """As the list has it: a day, a month, or nothing."""
    note: str = ""
    machine: str = ""
    """The provider's name of the machine."""
    region: str = ""
    cores: int | None = None
    ram_bytes: int | None = None

    @property
    def card(self) -> str | None:
        """Short name of the card in `hardware/gpus.yaml`; None for one that is not there."""
        return card_sold_as(self.gpu)

    @property
    def doubtful(self) -> bool:
        """Whether the list itself does not believe the price."""
        return self.note.startswith(DOUBT)


def offers(prices: Iterable[Offer], *, card: str | None = None, count: int | None = None) -> tuple[Offer, ...]:
    """The offers of these cards, cheapest on demand first; those with a spot price only come last."""
    wanted = (offer for offer in prices if card in (None, offer.card) and count in (None, offer.count))
    return tuple(sorted(wanted, key=_order))


def unknown_gpus(prices: Iterable[Offer]) -> tuple[str, ...]:
    """Names in the price list that no card of `hardware/gpus.yaml` has: nothing can be planned for them."""
    return tuple(sorted({offer.gpu for offer in prices if offer.card is None}))


def price_day(text: str) -> date | None:
    """The day that a list's date begins with; of a month its first, None where it names none."""
    found = re.match(r"(\d{4})-(\d\d)(?:-(\d\d))?", text)
    if found is None:
        return None
    try:
        return date(int(found[1]), int(found[2]), int(found[3] or 1))
    except ValueError:
        return None


def age_days(offer: Offer, today: date) -> int | None:
    """Days since the price was seen; None where nobody wrote when."""
    day = price_day(offer.date)
    return None if day is None else (today - day).days


def age_warning(offer: Offer, today: date) -> str:
    """What must be said beside an old price; empty for one of the last 90 days."""
    age = age_days(offer, today)
    if age is None:
        return "price without a date"
    return f"price of {offer.date}, {age} days old" if age > STALE_DAYS else ""


def _order(offer: Offer) -> tuple[float, float, str, int]:
    many = float("inf")
    spot = many if offer.spot is None else offer.spot
    return (many if offer.on_demand is None else offer.on_demand, spot, offer.provider, offer.count)
