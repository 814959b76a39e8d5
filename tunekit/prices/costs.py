"""What a job costs: rent, energy, tokens, and when a machine of one's own is cheaper. Pure arithmetic."""

from __future__ import annotations

from dataclasses import dataclass

HOURS_A_MONTH = 730.0
"""365 days of 24 hours by twelve: nobody can use a machine more."""
SECONDS = 3600


@dataclass(frozen=True, slots=True, kw_only=True)
class Ownership:
    """A machine of one's own, in its currency. `per_usd` is how much of that currency a US dollar buys."""

    price: float
    years: float
    """How long it is used until it is worth nothing."""
    watts: float
    """At the wall while it trains."""
    kwh_price: float
    currency: str = "USD"
    per_usd: float = 1.0

    @property
    def monthly(self) -> float:
        """Purchase price by months of use."""
        return self.price / (12 * self.years)

    @property
    def hourly(self) -> float:
        """Electricity of an hour of training."""
        return energy_cost(energy_kwh(1.0, self.watts), self.kwh_price)


def rent_cost(hours: float, per_hour: float) -> float:
    """Of a rented machine, in the currency of `per_hour`."""
    return hours * per_hour


def energy_kwh(hours: float, watts: float) -> float:
    """Energy at the wall."""
    return hours * watts / 1000


def energy_cost(kwh: float, kwh_price: float) -> float:
    """Of energy, in the currency of `kwh_price`."""
    return kwh * kwh_price


def per_million_tokens(per_hour: float, tokens_per_second: float) -> float:
    """Price of a million tokens of training on a machine that costs `per_hour`."""
    return per_hour * 1e6 / (tokens_per_second * SECONDS)


def owned_per_hour(own: Ownership, hours_a_month: float) -> float:
    """What an hour of training costs on one's own machine, in its currency: a share of the purchase, and energy."""
    return own.monthly / hours_a_month + own.hourly


def in_usd(amount: float, per_usd: float) -> float:
    """An amount of a currency of which a US dollar buys `per_usd`."""
    return amount / per_usd


def break_even_hours(own: Ownership, *, rent_usd: float, rented_speed: float = 1.0) -> float | None:
    """Hours of use per month beyond which one's own machine is cheaper; None where it never is.

    `rent_usd` is USD per hour of the rented machine, which does the same job `rented_speed` times as fast. With h hours
    on one's own machine: monthly + hourly x h = rent / speed x h.
    """
    saved = rent_usd * own.per_usd / rented_speed - own.hourly
    if saved <= 0:
        return None
    hours = own.monthly / saved
    return hours if hours <= HOURS_A_MONTH else None
