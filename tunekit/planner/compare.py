"""The same job on one's own machine and on every machine that can be rented: whether it fits, hours, energy, money."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TypeAlias

from tunekit.errors import RecipeError
from tunekit.hardware.power import load_watts
from tunekit.hardware.spec import Hardware
from tunekit.planner.goals import SAME
from tunekit.planner.plan import Plan, Verdict
from tunekit.planner.quality import Loss, in_order, losses_of
from tunekit.planner.resolve import resolve
from tunekit.planner.verdict import explain_verdict
from tunekit.prices.costs import (
    HOURS_A_MONTH,
    break_even_hours,
    energy_kwh,
    in_usd,
    owned_per_hour,
    per_million_tokens,
    rent_cost,
)
from tunekit.prices.offers import Offer, offers, unknown_gpus
from tunekit.prices.owning import Owned
from tunekit.prices.rentable import machine_of
from tunekit.recipe.schema import Recipe
from tunekit.speed.estimate import estimate_speed
from tunekit.speed.terms import Band

_Found: TypeAlias = tuple[Verdict, str, Band | None, frozenset[Loss]]
HOUR = 3600.0
TOLD_TOKENS = 1_000_000
"""What is compared where the plan does not know how many tokens it learns from."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Side:
    """One machine with the job. `usd_per_hour` is rent, or the electricity of one's own machine; None if unknown."""

    name: str
    hardware: Hardware
    verdict: Verdict
    reason: str
    """Why it fits or not; one sentence."""
    tokens_per_second: Band | None
    """None where it does not fit or no speed is known."""
    hours: Band | None
    kwh: float | None
    """Expected, at the wall."""
    losses: tuple[Loss, ...] = ()
    """What the plan gives up in quality there."""
    usd_per_hour: float | None = None
    spot_usd_per_hour: float | None = None
    offer: Offer | None = None
    """The cheapest on demand; None for one's own machine."""
    spot: Offer | None = None
    """The cheapest of those that may be taken away."""
    even_hours: float | None = None
    """Hours of use per month beyond which one's own machine is cheaper than this one; None: never, or not known."""

    def cost(self, per_hour: float | None) -> float | None:
        """USD of the whole job."""
        return None if per_hour is None or self.hours is None else rent_cost(self.hours.expected, per_hour)

    def per_million(self, per_hour: float | None) -> float | None:
        """USD of a million tokens."""
        if per_hour is None or self.tokens_per_second is None:
            return None
        return per_million_tokens(per_hour, self.tokens_per_second.expected)


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """One's own machine beside all that can be rented."""

    tokens: int
    own: Side
    as_written: Band | None
    """Tokens/s of the plan itself, where its machine does better with the job planned anew as on the others."""
    owned: Owned | None
    """None where nobody said what the machine costs to buy."""
    own_usd_never_idle: float | None
    """USD of a million tokens on one's own machine, its purchase included, if it trains day and night."""
    rented: tuple[Side, ...]
    """Those that the job fits, the cheapest per token first; then those that it does not, the cheapest first."""
    unknown: tuple[str, ...]
    """Cards of the price list that nothing is known of."""

    @property
    def fitting(self) -> tuple[Side, ...]:
        """The rentable machines that the job fits."""
        return tuple(side for side in self.rented if side.verdict != "rejected")


def compare(plan: Plan, prices: Sequence[Offer], *, owned: Owned | None, tokens: int | None = None) -> Comparison:
    """Plan the job of `plan` anew on every machine of the price list: same model, method, rows and steps."""
    told = tokens or tokens_of(plan) or TOLD_TOKENS
    own, as_written = _own_anew(plan, own_side(plan, owned, told), told)
    rented = [rented_side(plan, group, told, own, owned) for group in machines(prices)]
    return Comparison(
        tokens=told,
        own=own,
        as_written=as_written,
        owned=owned,
        own_usd_never_idle=_never_idle(own, owned),
        rented=tuple(sorted(rented, key=by_price)),
        unknown=unknown_gpus(prices),
    )


def cheapest_machine(rented: Iterable[Side]) -> Side | None:
    """The rentable machine on which the whole job, on demand, costs least and surely fits; None where none does."""
    sure = (side for side in rented if side.verdict == "fits")
    priced = [(cost, side) for side in sure if (cost := side.cost(side.usd_per_hour)) is not None]
    return min(priced, key=lambda each: each[0])[1] if priced else None


def tokens_of(plan: Plan) -> int | None:
    """Tokens that the run learns from; None where the number of steps is not known before the data is read."""
    speed = plan.speed
    if speed is None or speed.run is None:
        return None
    return speed.run.steps * speed.tokens_per_step


def movable(plan: Plan) -> Recipe:
    """The recipe with all that another machine decides for itself left open; rows and steps stay as they are."""
    recipe, job = plan.recipe, plan.job
    train = recipe.train.model_copy(
        update={
            "micro_batch_size": None,
            "gradient_accumulation_steps": None,
            "global_batch_size": job.batch.global_batch_size,
            "activation_checkpointing": None,
        }
    )
    data = recipe.data.model_copy(update={"packing": job.packing})
    return recipe.model_copy(update={"train": train, "data": data, "zero": type(recipe.zero)()})


def machines(prices: Iterable[Offer]) -> Iterator[tuple[Offer, ...]]:
    """The offers of each machine with a known card, the cheapest on demand first."""
    found: dict[tuple[str, int], list[Offer]] = {}
    for offer in offers(prices):
        if offer.card is not None and not offer.doubtful:
            found.setdefault((offer.card, offer.count), []).append(offer)
    return (tuple(each) for each in found.values())


def own_side(plan: Plan, owned: Owned | None, tokens: int) -> Side:
    """The machine of the plan."""
    rate = plan.speed.tokens_per_second if plan.verdict != "rejected" and plan.speed else None
    side = _side(plan.hardware.name, plan.hardware, (plan.verdict, plan.reason, rate, losses_of(plan.job)), tokens)
    return side if owned is None else replace(side, usd_per_hour=in_usd(owned.own.hourly, owned.own.per_usd))


def _own_anew(plan: Plan, written: Side, tokens: int) -> tuple[Side, Band | None]:
    """The job with the freedom it has on rented machines, where that is faster; and its speed as it was written."""
    before = written.tokens_per_second
    if before is None:
        return written, None
    anew = _side(written.name, plan.hardware, _weighed(plan, plan.hardware), tokens)
    after = anew.tokens_per_second
    if after is None or after.expected <= SAME * before.expected:
        return written, None
    return replace(anew, usd_per_hour=written.usd_per_hour), before


def rented_machine(plan: Plan, offer: Offer) -> Hardware:
    """The machine of an offer with a known card, with room for the plan's files."""
    hardware = machine_of(offer)
    assert hardware is not None
    return _with_room(hardware, plan)


def rented_side(plan: Plan, group: tuple[Offer, ...], tokens: int, own: Side, owned: Owned | None) -> Side:
    """The job planned anew on the machine that these offers rent."""
    offer, hardware = group[0], rented_machine(plan, group[0])
    side = _side(f"{offer.count} x {offer.gpu}", hardware, _weighed(plan, hardware), tokens)
    spot = min((each for each in group if each.spot is not None), key=lambda each: each.spot or 0.0, default=None)
    return replace(
        side,
        usd_per_hour=offer.on_demand,
        spot_usd_per_hour=spot.spot if spot else None,
        offer=offer,
        spot=spot,
        even_hours=_even(own, owned, offer.on_demand, side.tokens_per_second),
    )


def _with_room(hardware: Hardware, plan: Plan) -> Hardware:
    """With a volume that is rented as large as the job needs it: that is no reason to reject a machine."""
    (volume,) = hardware.disks
    usable = max(volume.usable_bytes, 2 * plan.memory.disk.high_bytes)
    size = max(volume.total_bytes, usable)
    return replace(hardware, disks=(replace(volume, total_bytes=size, usable_bytes=usable),))


def _side(name: str, hardware: Hardware, found: _Found, tokens: int) -> Side:
    verdict, reason, rate, losses = found
    hours = _hours(tokens, rate) if rate is not None else None
    return Side(
        name=name,
        hardware=hardware,
        verdict=verdict,
        reason=reason,
        tokens_per_second=rate,
        hours=hours,
        kwh=energy_kwh(hours.expected, load_watts(hardware)) if hours else None,
        losses=in_order(losses),
    )


def _weighed(plan: Plan, hardware: Hardware) -> _Found:
    try:
        found = resolve(movable(plan), plan.model_shape, hardware, plan.trust)
    except RecipeError as error:
        first = error.problems[0]
        return "rejected", f"{first.key}: {first.found}.", None, frozenset()
    trial = found.trial
    reason = explain_verdict(trial.judgement, trial.memory, trial.table, plan.trust)
    fits = trial.judgement.verdict != "rejected"
    speed = estimate_speed(trial.job, plan.model_shape, hardware) if fits else None
    rate = None if speed is None else speed.tokens_per_second
    return trial.judgement.verdict, reason, rate, losses_of(trial.job)


def _hours(tokens: int, rate: Band) -> Band:
    low, expected, high = (tokens / each / HOUR for each in (rate.high, rate.expected, rate.low))
    return Band(low=low, expected=expected, high=high)


def _even(own: Side, owned: Owned | None, rent: float | None, rate: Band | None) -> float | None:
    if owned is None or own.tokens_per_second is None or rent is None or rate is None:
        return None
    return break_even_hours(owned.own, rent_usd=rent, rented_speed=rate.expected / own.tokens_per_second.expected)


def _never_idle(own: Side, owned: Owned | None) -> float | None:
    if owned is None:
        return None
    return own.per_million(in_usd(owned_per_hour(owned.own, HOURS_A_MONTH), owned.own.per_usd))


def by_price(side: Side) -> tuple[bool, float, float]:
    """The order of a comparison: what fits first, the cheapest per token first."""
    many = float("inf")
    price = side.usd_per_hour if side.usd_per_hour is not None else side.spot_usd_per_hour
    per_million = side.per_million(price)
    return side.verdict == "rejected", many if per_million is None else per_million, price or many
