"""Comparisons for tests: a few offers, made by hand, beside two RTX 4090."""

from __future__ import annotations

from functools import cache
from typing import Any

from planning import CODELLAMA_34B, machine, recipe_for, shape_of

from tunekit.planner.compare import Comparison, compare
from tunekit.planner.make import make_plan
from tunekit.planner.plan import Plan
from tunekit.prices.offers import Offer
from tunekit.prices.owning import owned

LIST = "someone/prices:list.csv"


def offer(gpu: str, count: int = 1, price: float | None = 1.0, **fields: Any) -> Offer:
    """An offer of a provider, seen in summer."""
    known = {"provider": "Cloud", "spot": None, "source": LIST, "date": "2026-11-01", **fields}
    return Offer(gpu=gpu, count=count, on_demand=price, **known)


PRICES = (
    offer("H100", 1, 2.0),
    offer("H100", 1, 1.5, provider="Other", date="2026-01-01"),
    offer("H100", 1, None, provider="Third", spot=0.5, date=""),
    offer("RTX 4090", 2, 0.8),
    offer("T4", 1, 0.3),
    offer("A100-80", 1, 0.1, note="probably a typo"),
    offer("MI300X", 1, 2.0),
)


@cache
def planned(kind: str = "qlora", preset: str = "z3_qlora", steps: int | None = None, **keys: Any) -> Plan:
    """CodeLlama-34B on two RTX 4090."""
    keys |= {"train__max_steps": steps} if steps else {}
    recipe = recipe_for(CODELLAMA_34B, kind, zero__preset=preset, **keys)
    return make_plan(recipe, shape_of(CODELLAMA_34B), machine())


@cache
def compared(kind: str = "qlora", preset: str = "z3_qlora") -> Comparison:
    """The offers beside it."""
    plan = planned(kind, preset)
    return compare(plan, PRICES, owned=owned(plan.hardware))
