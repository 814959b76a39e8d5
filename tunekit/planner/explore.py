"""The exact search: every plan of a space is weighed by both judges, or a lighter one of its kind did not fit.

What the states take and what a pass keeps are counted apart and added: the sum is the estimate, to the byte. Plans of
one site whose passes hold the same kinds of memory form a group, in which more rows and kept activations never need
less. The frontier is walked from the fastest plan down: a plan is on it unless a faster one that is as exact needs
no more of every GPU and of RAM.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TypeAlias

from tunekit.ds_config.buckets import BucketSizes
from tunekit.memory.case import Case, make_case
from tunekit.memory.estimate import passing_sums, placed_terms, places, sum_terms
from tunekit.memory.llamafactory_table import TableCheck, check_table
from tunekit.memory.peaks import Sums
from tunekit.memory.terms import PlaceEstimate
from tunekit.planner.pinning import pinned_bytes
from tunekit.planner.plan import Trust, Verdict
from tunekit.planner.quality import Loss, losses_of
from tunekit.planner.rules import check_job
from tunekit.planner.search import Settled, Trial, locks_too_much, make_job, pins, try_job
from tunekit.planner.space import Site, passes, sites
from tunekit.planner.verdict import Judgement, judge
from tunekit.planner.zero import build_zero
from tunekit.recipe.job import Job, Zero
from tunekit.speed.estimate import estimate_speed
from tunekit.speed.terms import SpeedEstimate

NEAR = 0.02
"""Speeds that differ by less than this, and bytes by less than this share of the usable ones, are the same."""
CLOSE = 8
"""Groups that are weighed to tell what comes nearest where the table lets none pass."""
Kept: TypeAlias = dict[tuple[object, ...], Sums]
"""What passes keep, by what decides it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Peaks:
    """The three places of an estimate, without its terms."""

    device: PlaceEstimate
    host: PlaceEstimate
    disk: PlaceEstimate


@dataclass(frozen=True, slots=True, kw_only=True)
class Weighed:
    """A job of the space with what both judges say of it."""

    site: Site
    job: Job
    sizes: BucketSizes
    memory: Peaks
    judgement: Judgement


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """A job that fits, with its speed."""

    site: Site
    job: Job
    sizes: BucketSizes
    memory: Peaks
    verdict: Verdict
    speed: SpeedEstimate
    losses: frozenset[Loss]

    @property
    def order(self) -> float:
        """Expected seconds per token; what gives something up for no more than `NEAR` comes after what does not."""
        return (1.0 + NEAR) ** len(self.losses) / self.speed.tokens_per_second.expected


@dataclass(frozen=True, slots=True, kw_only=True)
class Explored:
    """What a search found: all that fits, the frontier among it, and how far the rest was off."""

    fitting: tuple[Found, ...]
    """The fastest first."""
    frontier: tuple[Found, ...]
    nearest: Trial | None
    """The plan that comes nearest to fitting, where none fits."""
    plans: int
    weighed: int
    """The others are heavier than one of these that does not fit."""
    tight: bool
    """Whether one of them may fit, though not surely."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """Plans of one site that hold the same kinds of memory, the lightest first."""

    site: Site
    jobs: tuple[Job, ...]
    sizes: BucketSizes
    table: TableCheck
    trust: Trust

    @property
    def allowed(self) -> bool:
        """Whether the table lets these plans pass and no rule forbids them; neither knows anything of passes."""
        return (self.table.passes or self.trust == "model") and not self.forbidden

    @property
    def forbidden(self) -> bool:
        """Whether they break a rule."""
        settled = self.site.settled
        return bool(check_job(settled.recipe, self.jobs[0], settled.shape, settled.hardware))

    def weigh(self, job: Job, placed: Sums, kept: Kept) -> Weighed:
        """Hold a job of the group, whose states take `placed`, against both judges."""
        memory = _peaks(_case(self.site.settled, job), placed, kept)
        judgement = judge(memory, self.table, self.trust)
        return Weighed(site=self.site, job=job, sizes=self.sizes, memory=memory, judgement=judgement)


def explore(spaces: Iterable[Settled], trust: Trust = "both", *, enough: tuple[Verdict, ...] = ("fits",)) -> Explored:
    """Search these spaces together. `enough` are the verdicts that count as fitting."""
    kept: Kept = {}
    groups = [group for settled in spaces for group in groups_of(settled, trust)]
    weighed = [each for group in groups if group.allowed for each in _weigh(group, kept, enough)]
    found = [fit for each in weighed if each.judgement.verdict in enough for fit in _with_speed(each)]
    found.sort(key=lambda each: each.order)
    return Explored(
        fitting=tuple(found),
        frontier=tuple(_frontier(found)),
        nearest=None if found else _nearest(weighed or _closest(groups, kept), trust),
        plans=sum(len(group.jobs) for group in groups),
        weighed=len(weighed),
        tight=any(each.judgement.verdict == "tight" for each in weighed),
    )


def explore_for_sure(spaces: Iterable[Settled], trust: Trust = "both") -> Explored:
    """What surely fits; where nothing does, what fits tightly."""
    every = tuple(spaces)
    explored = explore(every, trust)
    # Where nothing is tight either, a second search would weigh the same plans and refuse them again.
    return explored if explored.frontier or not explored.tight else explore(every, trust, enough=("fits", "tight"))


def anything_fits(spaces: Iterable[Settled], trust: Trust = "both") -> bool:
    """Whether the search would find something, by the lightest plans alone."""
    kept: Kept = {}
    groups = (group for settled in spaces for group in groups_of(settled, trust) if group.allowed)
    return any(_holds_any(group, kept) for group in groups)


def _holds_any(group: Group, kept: Kept) -> bool:
    settled, lightest = group.site.settled, group.jobs[0]
    # Unlocked buffers take least; padding and packing do not compare.
    zero = replace(lightest.zero, pin_memory=bool(settled.recipe.zero.pin_memory))
    case = _case(settled, replace(lightest, zero=zero))
    placed = sum_terms(case, placed_terms(case))
    kinds = {job.packing: replace(job, zero=zero) for job in reversed(group.jobs)}
    return any(group.weigh(job, placed, kept).judgement.verdict != "rejected" for job in kinds.values())


def groups_of(settled: Settled, trust: Trust) -> Iterator[Group]:
    """The plans of a space by site and by what they hold: gradients of several passes, and all logits or some."""
    kinds: dict[tuple[bool, str], list[Job]] = {}
    for site in sites(settled):
        zero, sizes = build_zero(site.rung, settled.placement, pin_memory=False, offload_ratio=site.ratio)
        kinds = kinds or _kinds(settled, zero)
        for jobs in kinds.values():
            here = tuple(replace(job, zero=zero) for job in jobs)
            table = check_table(here[0], settled.shape, settled.hardware)
            yield Group(site=site, jobs=here, sizes=sizes, table=table, trust=trust)


def _kinds(settled: Settled, zero: Zero) -> dict[tuple[bool, str], list[Job]]:
    kinds: dict[tuple[bool, str], list[Job]] = {}
    for each in passes(settled):
        job = make_job(settled, zero, each.micro, checkpointing=each.checkpointing, packing=each.packing)
        kinds.setdefault((job.batch.gradient_accumulation_steps > 1, job.loss), []).append(job)
    return kinds


def _placed(group: Group, kept: Kept) -> tuple[Zero, Sums]:
    """Whether buffers are page-locked, and what the states take then.

    It is decided once for a group, by its lightest plan: with locked buffers where that fits and is wise.
    """
    settled, lightest = group.site.settled, group.jobs[0]
    for pin in pins(settled, group.site.rung):
        job = replace(lightest, zero=replace(lightest.zero, pin_memory=pin))
        case = _case(settled, job)
        terms = placed_terms(case)
        placed = sum_terms(case, terms)
        fits = pin and group.weigh(job, placed, kept).judgement.verdict == "fits"
        if fits and not locks_too_much(settled, pinned_bytes(terms, job.zero.stage)):
            break
    return job.zero, placed


def _case(settled: Settled, job: Job) -> Case:
    return make_case(job, settled.shape, settled.hardware)


def _peaks(case: Case, placed: Sums, kept: Kept) -> Peaks:
    """The estimate of a job whose states take `placed`."""
    job = case.job
    recomputes = (job.activation_checkpointing, job.reentrant_checkpointing)
    key = (job.method, job.quantization, job.batch.micro_batch_size, job.packing, job.loss, recomputes)
    if key not in kept:
        kept[key] = passing_sums(case)
    device, host, disk = places(case, placed + kept[key])
    return Peaks(device=device, host=host, disk=disk)


def _weigh(group: Group, kept: Kept, enough: tuple[Verdict, ...]) -> Iterator[Weighed]:
    """Every plan of a group, but those that are heavier than one that did not fit."""
    refused: list[Job] = []
    zero, placed = _placed(group, kept)
    for job in (replace(job, zero=zero) for job in group.jobs):
        if any(_heavier(job, other) for other in refused):
            continue
        weighed = group.weigh(job, placed, kept)
        if weighed.judgement.verdict not in enough:
            refused.append(job)
        yield weighed


def _heavier(job: Job, other: Job) -> bool:
    """Whether a job of the same group needs at least as much in every place; padding and packing do not compare."""
    return (
        job.batch.micro_batch_size >= other.batch.micro_batch_size
        and job.activation_checkpointing <= other.activation_checkpointing
        and job.packing == other.packing
    )


def _with_speed(weighed: Weighed) -> Iterator[Found]:
    settled, job = weighed.site.settled, weighed.job
    speed = estimate_speed(job, settled.shape, settled.hardware)
    if speed is not None:
        verdict = weighed.judgement.verdict
        yield Found(
            site=weighed.site,
            job=job,
            sizes=weighed.sizes,
            memory=weighed.memory,
            verdict=verdict,
            speed=speed,
            losses=losses_of(job),
        )


def _frontier(found: Sequence[Found]) -> Iterator[Found]:
    """Those that no faster one beats; `found` has the fastest first."""
    best: list[Found] = []
    for each in found:
        if not any(_beats(other, each) for other in best):
            best.append(each)
            yield each


def _beats(other: Found, each: Found) -> bool:
    """Whether a faster plan is as exact and needs no more than this one, or hardly more."""
    device, host = each.memory.device, each.memory.host
    return (
        other.memory.device.expected_bytes <= device.expected_bytes + NEAR * device.usable_bytes
        and other.memory.host.expected_bytes <= host.expected_bytes + NEAR * host.usable_bytes
        and other.losses <= each.losses
    )


def _closest(groups: Sequence[Group], kept: Kept) -> list[Weighed]:
    """The lightest plans of the groups that come nearest to passing the table, where none passes it."""
    possible = [group for group in groups if not group.forbidden] or groups
    close = sorted(possible, key=lambda group: _overshoot(group.table))[:CLOSE]
    return [_lightest(group, kept) for group in close]


def _lightest(group: Group, kept: Kept) -> Weighed:
    zero, placed = _placed(group, kept)
    return group.weigh(replace(group.jobs[0], zero=zero), placed, kept)


def _overshoot(table: TableCheck) -> float:
    device = table.device_demand_bytes / max(1, table.device_usable_bytes)
    return max(device, table.host_demand_bytes / max(1, table.host_usable_bytes))


def _nearest(weighed: Sequence[Weighed], trust: Trust) -> Trial | None:
    """The whole of the plan that comes nearest to fitting."""
    if not weighed:
        return None
    best = min(weighed, key=lambda each: each.judgement.overshoot)
    return try_job(best.site.settled, best.site.rung, best.job, best.sizes, trust)
