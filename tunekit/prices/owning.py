"""A machine of one's own as a cost: its price, years, electricity and currency, from its profile and what is typed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches

from tunekit.errors import UsageError
from tunekit.hardware.power import load_watts
from tunekit.hardware.spec import Hardware
from tunekit.prices.costs import Ownership

YEARS = 3.0
YEARS_SAID = "3 years, an assumption: cards are replaced after two generations"
KEYS = ("price", "currency", "years", "kwh", "usd")


@dataclass(frozen=True, slots=True, kw_only=True)
class Money:
    """What is assumed where a currency is used: its worth, and the electricity of households."""

    per_usd: float
    per_usd_said: str
    kwh: float
    kwh_said: str


CURRENCIES: Mapping[str, Money] = {
    "USD": Money(per_usd=1.0, per_usd_said="", kwh=0.16, kwh_said="households in the USA, 2023 (EIA)"),
    "CNY": Money(
        per_usd=7.1,
        per_usd_said="central parity of September 2025",
        kwh=0.56,
        kwh_said="households in China, March 2024: 7.8 US cents (Statista 1373587)",
    ),
    "EUR": Money(
        per_usd=0.85,
        per_usd_said="rate of the ECB in September 2025",
        kwh=0.287,
        kwh_said="households in the EU, first half of 2025 (Eurostat)",
    ),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Owned:
    """What the machine costs, and where each figure comes from."""

    own: Ownership
    said: tuple[str, ...]


def owned(hardware: Hardware, words: Sequence[str] = ()) -> Owned | None:
    """What owning `hardware` costs; `words` are `key=value` in place of its profile and the defaults.

    None where neither says a price. UsageError: a word that is no key, no number, or a currency that nobody knows.
    """
    typed = _typed(words)
    known = hardware.price
    amount = _number(typed, "price", known.amount if known else None)
    if amount is None:
        return None
    currency = typed.get("currency", known.currency if known else "USD").upper()
    if known is not None and currency != known.currency and "price" not in typed:
        raise UsageError(
            f"--own currency={currency}: the price is in {known.currency}; type price=… in {currency} too."
        )
    money = _money(currency, typed)
    years, kwh, per_usd = (
        _number(typed, key, default) for key, default in (("years", YEARS), ("kwh", money.kwh), ("usd", money.per_usd))
    )
    assert years is not None
    assert kwh is not None
    assert per_usd is not None
    own = Ownership(
        price=amount, years=years, watts=load_watts(hardware), kwh_price=kwh, currency=currency, per_usd=per_usd
    )
    return Owned(own=own, said=tuple(_said(hardware, own, typed, money)))


def _typed(words: Sequence[str]) -> dict[str, str]:
    found = {}
    for word in words:
        key, equals, value = word.partition("=")
        if key not in KEYS or not equals:
            near = get_close_matches(key, KEYS, n=1)
            hint = f" Did you mean {near[0]}=…?" if near else ""
            raise UsageError(f"--own {word}: write KEY=VALUE; the keys are {', '.join(KEYS)}.{hint}")
        found[key] = value
    return found


def _money(currency: str, typed: Mapping[str, str]) -> Money:
    if currency in CURRENCIES:
        return CURRENCIES[currency]
    if {"kwh", "usd"} <= typed.keys():
        return Money(per_usd=1.0, per_usd_said="", kwh=0.0, kwh_said="")
    raise UsageError(
        f"--own currency={currency}: type kwh=… (price of a kWh) and usd=… ({currency} for a US dollar) too; "
        f"they are known for {', '.join(CURRENCIES)}."
    )


def _number(typed: Mapping[str, str], key: str, default: float | None) -> float | None:
    if key not in typed:
        return default
    try:
        value = float(typed[key])
    except ValueError:
        value = -1.0
    if not 0 < value < float("inf"):
        raise UsageError(f"--own {key}={typed[key]}: must be a number above 0.")
    return value


def _said(hardware: Hardware, own: Ownership, typed: Mapping[str, str], money: Money) -> list[str]:
    price = hardware.price
    bought = f"{price.note or 'price of the profile'}, {price.date}" if price and "price" not in typed else "as typed"
    said = [f"{own.price:,.0f} {own.currency} to buy ({bought})"]
    said.append(f"{own.years:g} years (as typed)" if "years" in typed else YEARS_SAID)
    where = "as typed" if "kwh" in typed else money.kwh_said
    said.append(f"{own.kwh_price:g} {own.currency} per kWh ({where})")
    said.append(f"{own.watts:,.0f} W while it trains")
    if own.currency != "USD":
        said.append(f"{own.per_usd:g} {own.currency} per USD ({'as typed' if 'usd' in typed else money.per_usd_said})")
    return said
