"""What an hour of training costs on a machine: electricity of one's own, hire of a rented one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from tunekit.hardware.gpu_table import known_gpus
from tunekit.hardware.power import load_watts
from tunekit.hardware.profiles import LOCAL
from tunekit.hardware.spec import Hardware
from tunekit.prices.costs import Ownership, energy_cost, energy_kwh
from tunekit.prices.offers import Offer, offers
from tunekit.prices.owning import CURRENCIES


@dataclass(frozen=True, slots=True, kw_only=True)
class Hourly:
    """The price of an hour, in its currency, and what it is made of."""

    amount: float
    currency: str
    said: str
    drive: float | None = None
    """Of a new drive to swap to, in the same currency; 0 of a hired machine, None where nobody said."""


def hourly_of(hardware: Hardware, prices: Sequence[Offer], typed: Ownership | None = None) -> Hourly:
    """Electricity where the machine has a purchase price or is this one; else the cheapest hire of the same cards.

    A kWh is told in the currency of the purchase where its price is known in it, else in USD; `typed` stands over both.
    """
    if typed is not None:
        return _electricity(hardware, typed.currency, typed.kwh_price)
    bought = hardware.price
    hired = None if bought or hardware.name == LOCAL else _cheapest(hardware, prices)
    if hired is not None and hired.on_demand is not None:
        said = f"hire of {hired.count} x {hired.gpu} on demand, {hired.provider}, {hired.date or 'no date'}"
        return Hourly(amount=hired.on_demand, currency="USD", said=said, drive=0.0)
    currency = hardware.currency if hardware.currency in CURRENCIES else "USD"
    return _electricity(hardware, currency, CURRENCIES[currency].kwh)


def _electricity(hardware: Hardware, currency: str, kwh: float) -> Hourly:
    known, watts = CURRENCIES.get(currency), load_watts(hardware)
    where = known.kwh_said if known and known.kwh == kwh else "as typed"
    said = f"electricity of {watts:,.0f} W at {kwh:g} {currency} per kWh ({where})"
    swapped = hardware.swap_disk
    drive = swapped.price if swapped and hardware.currency == currency else None
    return Hourly(amount=energy_cost(energy_kwh(1.0, watts), kwh), currency=currency, said=said, drive=drive)


def _cheapest(hardware: Hardware, prices: Sequence[Offer]) -> Offer | None:
    names = {gpu.name for gpu in hardware.gpus}
    card = next((short for short, known in known_gpus().items() if names == {known.gpu.name}), None)
    found = offers(prices, card=card, count=len(hardware.gpus)) if card else ()
    return next((each for each in found if each.on_demand is not None and not each.doubtful), None)
