"""The one rentable machine on which a job costs least, found without planning it on every one.

What the cards compute takes its time wherever the states rest: that bounds from below what a machine can cost. Machines
are planned for in the order of that bound, until it is above the cost of the best one found.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from tunekit.planner.compare import (
    Side,
    by_price,
    cheapest_machine,
    machines,
    movable,
    own_side,
    rented_machine,
    rented_side,
)
from tunekit.planner.plan import Plan
from tunekit.planner.search import Settled, make_job
from tunekit.planner.settle import settle
from tunekit.planner.space import passes
from tunekit.planner.zero import build_zero, rungs
from tunekit.prices.costs import per_million_tokens
from tunekit.prices.offers import Offer
from tunekit.speed.estimate import least_seconds
from tunekit.speed.lengths import tokens_per_step


@dataclass(frozen=True, slots=True, kw_only=True)
class Bound:
    """The offers of a machine, and USD of a million tokens below which it cannot come."""

    usd: float
    group: tuple[Offer, ...]


def find_cheapest(plan: Plan, prices: Sequence[Offer], *, tokens: int) -> Side | None:
    """What `cheapest_machine` says of the whole comparison of a plan that does not fit: it is cheaper nowhere."""
    own = own_side(plan, None, tokens)
    weighed: list[Side] = []
    best: Side | None = None
    for bound in sorted(bounds_of(plan, prices), key=lambda each: each.usd):
        if best is not None and bound.usd > (best.per_million(best.usd_per_hour) or 0.0):
            break
        weighed.append(rented_side(plan, bound.group, tokens, own, None))
        best = cheapest_machine(sorted(weighed, key=by_price))
    return best


def bounds_of(plan: Plan, prices: Sequence[Offer]) -> Iterator[Bound]:
    """Of every machine that has a price on demand and can do the job at all."""
    recipe = movable(plan)
    for group in machines(prices):
        price = group[0].on_demand
        settled, _, faults = settle(recipe, plan.model_shape, rented_machine(plan, group[0]))
        if price is not None and not faults:
            yield Bound(usd=per_million_tokens(price, _most_tokens(settled)), group=group)


def _most_tokens(settled: Settled) -> float:
    """Tokens per second that no plan of a machine exceeds."""
    rung = rungs(settled.recipe, settled.hardware)[0]
    zero, _ = build_zero(rung, settled.placement, pin_memory=False, offload_ratio=1.0)
    jobs = [
        make_job(settled, zero, each.micro, checkpointing=each.checkpointing, packing=each.packing)
        for each in passes(settled)
    ]
    return max(tokens_per_step(job) / least_seconds(job, settled.shape, settled.hardware) for job in jobs)
