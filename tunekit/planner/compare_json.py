"""A comparison as a tree for JSON: prices in USD, rates in tokens per second, hours as bands."""

from __future__ import annotations

from dataclasses import asdict
from datetime import date
from typing import Any

from tunekit.planner.compare import Comparison, Side
from tunekit.prices.offers import Offer, age_days


def comparison_tree(found: Comparison, today: date) -> dict[str, Any]:
    """Every machine, not only those that are printed."""
    owned = found.owned
    return {
        "tokens": found.tokens,
        "own": {
            **side_tree(found.own, today),
            "tokens_per_second_as_written": None if found.as_written is None else asdict(found.as_written),
            "purchase": None if owned is None else {**asdict(owned.own), "sources": list(owned.said)},
            "usd_per_million_tokens_never_idle": found.own_usd_never_idle,
        },
        "rented": [side_tree(side, today) for side in found.rented],
        "unknown_cards": list(found.unknown),
    }


def side_tree(side: Side, today: date) -> dict[str, Any]:
    """One machine with the job."""
    return {
        "name": side.name,
        "verdict": side.verdict,
        "reason": side.reason,
        "gives_up": list(side.losses),
        "assumed": side.hardware.source,
        "tokens_per_second": None if side.tokens_per_second is None else asdict(side.tokens_per_second),
        "hours": None if side.hours is None else asdict(side.hours),
        "kwh": side.kwh,
        "on_demand": _price(side, side.usd_per_hour, side.offer, today),
        "spot": _price(side, side.spot_usd_per_hour, side.spot, today),
        "break_even_hours_a_month": side.even_hours,
    }


def _price(side: Side, per_hour: float | None, offer: Offer | None, today: date) -> dict[str, Any] | None:
    if per_hour is None:
        return None
    seen = {} if offer is None else {"provider": offer.provider, "source": offer.source, "date": offer.date or None}
    return {
        "usd_per_hour": per_hour,
        "usd": side.cost(per_hour),
        "usd_per_million_tokens": side.per_million(per_hour),
        **seen,
        **({} if offer is None else {"days_old": age_days(offer, today), "note": offer.note or None}),
    }
