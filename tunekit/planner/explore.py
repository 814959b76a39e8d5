"""The exact search: every plan of a space is weighed, or it is shown that weighing it would change nothing.

Plans of one site whose passes hold the same kinds of memory form a group: within it more rows, kept activations and
packing never need less. So where the lightest of a group does not fit, none does; where one does not fit, none heavier
does; and what is slower than a plan that needs less than the lightest of its group is on no frontier.
Plans are taken from the fastest down, so that the slow ones have most to be held against.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from tunekit.ds_config.buckets import BucketSizes
from tunekit.planner.plan import Trust, Verdict
from tunekit.planner.quality import Loss, losses_of
from tunekit.planner.search import Settled, Trial, locks_too_much, make_job, pins, try_job
from tunekit.planner.space import Passes, Site, passes, sites
from tunekit.planner.zero import build_zero
from tunekit.recipe.job import Job, Zero
from tunekit.speed.estimate import estimate_speed
from tunekit.speed.terms import SpeedEstimate

NEAR = 0.02
"""Speeds that differ by less than this, and bytes by less than this share of the usable ones, are the same."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    """One plan of the space, with its speed."""

    site: Site
    job: Job
    speed: SpeedEstimate
    losses: frozenset[Loss]

    @property
    def order(self) -> float:
        """Expected seconds per token; what gives something up for no more than `NEAR` comes after what does not."""
        return (1.0 + NEAR) ** len(self.losses) / self.speed.tokens_per_second.expected


@dataclass(frozen=True, slots=True, kw_only=True)
class Weighed:
    """A plan that was held against both judges."""

    point: Point
    trial: Trial

    @property
    def device_bytes(self) -> int:
        """Expected bytes of each GPU."""
        return self.trial.memory.device.expected_bytes

    @property
    def host_bytes(self) -> int:
        """Expected bytes of RAM."""
        return self.trial.memory.host.expected_bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """Plans of one site that hold the same kinds of memory, and the lightest of them, weighed."""

    site: Site
    lightest: Trial
    jobs: tuple[Job, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Explored:
    """What a search found: those that fit and were weighed, the frontier among them, and how far the rest was off."""

    fitting: tuple[Weighed, ...]
    """The fastest first; plans that could not be on the frontier are not weighed and not here."""
    frontier: tuple[Weighed, ...]
    nearest: Trial | None
    """The lightest plan that comes nearest to fitting, where none fits."""
    too_large: tuple[Weighed, ...]
    """Weighed and refused, the fastest first."""
    plans: int
    weighed: int


def explore(spaces: Iterable[Settled], trust: Trust = "both", *, enough: tuple[Verdict, ...] = ("fits",)) -> Explored:
    """Search these spaces together. `enough` are the verdicts that count as fitting."""
    groups = [group for settled in spaces for site in sites(settled) for group in groups_of(site, trust)]
    live = [group for group in groups if _fits(group.lightest, enough)]
    points = [(group, point) for group in live for point in _points(group)]
    walk = _Walk(trust=trust, enough=enough)
    for group, point in sorted(points, key=lambda pair: pair[1].order):
        walk.visit(group, point)
    return Explored(
        fitting=tuple(walk.fitting),
        frontier=tuple(walk.frontier),
        nearest=min((group.lightest for group in groups), key=lambda trial: trial.preference, default=None),
        too_large=tuple(walk.too_large),
        plans=sum(len(group.jobs) for group in groups),
        weighed=len(groups) + walk.weighed,
    )


def _fits(trial: Trial, enough: tuple[Verdict, ...]) -> bool:
    return not trial.problems and trial.judgement.verdict in enough


def groups_of(site: Site, trust: Trust) -> Iterator[Group]:
    """The plans of a site by what they hold: sums of gradients over several passes, and all logits or some.

    Page-locking is decided once for a group, by its lightest plan.
    """
    settled = site.settled
    zeros: dict[bool, tuple[Zero, BucketSizes]] = {}
    kinds: dict[tuple[bool, str], list[Passes]] = {}
    for each in passes(settled):
        job = _job(settled, _zero(site, zeros, pin=False)[0], each)
        kinds.setdefault((job.batch.gradient_accumulation_steps > 1, job.loss), []).append(each)
    for members in kinds.values():
        lightest = _lightest(site, zeros, members[0], trust)
        yield Group(
            site=site,
            lightest=lightest,
            jobs=tuple(_job(settled, lightest.job.zero, each) for each in members),
        )


def _zero(site: Site, known: dict[bool, tuple[Zero, BucketSizes]], *, pin: bool) -> tuple[Zero, BucketSizes]:
    if pin not in known:
        known[pin] = build_zero(site.rung, site.settled.placement, pin_memory=pin, offload_ratio=site.ratio)
    return known[pin]


def _lightest(site: Site, zeros: dict[bool, tuple[Zero, BucketSizes]], first: Passes, trust: Trust) -> Trial:
    """The lightest plan of a group, with page-locked buffers where that is possible and wise."""
    trials: list[Trial] = []
    for pin in pins(site.settled, site.rung):
        zero, sizes = _zero(site, zeros, pin=pin)
        trials.append(try_job(site.settled, site.rung, _job(site.settled, zero, first), sizes, trust))
        if trials[-1].fits and not (pin and locks_too_much(site.settled, trials[-1])):
            break
    return min(reversed(trials), key=lambda trial: trial.preference)


def _job(settled: Settled, zero: Zero, each: Passes) -> Job:
    return make_job(settled, zero, each.micro, checkpointing=each.checkpointing, packing=each.packing)


def _points(group: Group) -> Iterator[Point]:
    settled = group.site.settled
    for job in group.jobs:
        speed = estimate_speed(job, settled.shape, settled.hardware)
        if speed is not None:
            yield Point(site=group.site, job=job, speed=speed, losses=losses_of(job))


class _Walk:
    """Visits plans from the fastest down and keeps what nothing visited before makes pointless."""

    def __init__(self, *, trust: Trust, enough: tuple[Verdict, ...]) -> None:
        self.trust = trust
        self.enough = enough
        self.fitting: list[Weighed] = []
        self.frontier: list[Weighed] = []
        self.too_large: list[Weighed] = []
        self.weighed = 0
        self._refused: dict[int, list[Job]] = {}

    def visit(self, group: Group, point: Point) -> None:
        """Weigh a plan, unless what is known already says where it belongs."""
        refused = self._refused.setdefault(id(group), [])
        if any(_heavier(point.job, job) for job in refused) or self._is_beaten(point.losses, group.lightest):
            return
        self.weighed += 1
        trial = try_job(point.site.settled, point.site.rung, point.job, group.lightest.sizes, self.trust)
        found = Weighed(point=point, trial=trial)
        if not _fits(trial, self.enough):
            refused.append(point.job)
            self.too_large.append(found)
            return
        self.fitting.append(found)
        if not self._is_beaten(point.losses, trial):
            self.frontier.append(found)

    def _is_beaten(self, losses: frozenset[Loss], trial: Trial) -> bool:
        """Whether a faster plan that is as exact needs no more than this one, or hardly more."""
        memory = trial.memory
        device = memory.device.expected_bytes + NEAR * memory.device.usable_bytes
        host = memory.host.expected_bytes + NEAR * memory.host.usable_bytes
        return any(
            kept.device_bytes <= device and kept.host_bytes <= host and kept.point.losses <= losses
            for kept in self.frontier
        )


def _heavier(job: Job, other: Job) -> bool:
    """Whether a job of the same group needs at least as much in every place."""
    return (
        job.batch.micro_batch_size >= other.batch.micro_batch_size
        and job.activation_checkpointing <= other.activation_checkpointing
        and job.packing >= other.packing
    )
