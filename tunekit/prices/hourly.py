"""What an hour of training costs on a machine: electricity of one's own, hire of a rented one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from tunekit.hardware.gpu_table import known_gpus
from tunekit.hardware.power import load_watts
from tunekit.hardware.spec import Hardware
from tunekit.prices.costs import energy_cost, energy_kwh
from tunekit.prices.offers import Offer, offers
from tunekit.prices.owning import CURRENCIES, owned

LOCAL = "local"


@dataclass(frozen=True, slots=True, kw_only=True)
class Hourly:
    """The price of an hour, in its currency, and what it is made of."""

    amount: float
    currency: str
    said: str


def hourly_of(hardware: Hardware, prices: Sequence[Offer]) -> Hourly:
    """Electricity where the machine has a purchase price or is this one; else the cheapest hire of the same cards."""
    mine = owned(hardware)
    if mine is not None:
        own = mine.own
        return _electricity(hardware, own.kwh_price, own.currency)
    hired = None if hardware.name == LOCAL else _cheapest(hardware, prices)
    if hired is not None and hired.on_demand is not None:
        said = f"hire of {hired.count} x {hired.gpu} on demand, {hired.provider}, {hired.date or 'no date'}"
        return Hourly(amount=hired.on_demand, currency="USD", said=said)
    return _electricity(hardware, CURRENCIES["USD"].kwh, "USD")


def _electricity(hardware: Hardware, kwh: float, currency: str) -> Hourly:
    said = f"electricity of {load_watts(hardware):,.0f} W at {kwh:g} {currency} per kWh"
    where = CURRENCIES[currency].kwh_said if currency in CURRENCIES else ""
    amount = energy_cost(energy_kwh(1.0, load_watts(hardware)), kwh)
    return Hourly(amount=amount, currency=currency, said=f"{said} ({where})" if where else said)


def _cheapest(hardware: Hardware, prices: Sequence[Offer]) -> Offer | None:
    names = {gpu.name for gpu in hardware.gpus}
    card = next((short for short, known in known_gpus().items() if names == {known.gpu.name}), None)
    found = offers(prices, card=card, count=len(hardware.gpus)) if card else ()
    return next((each for each in found if each.on_demand is not None), None)
