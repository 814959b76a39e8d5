"""What would have kept a run from running out of memory: its plan changed, planned again with what was measured.

A run that ran out of memory has shown that its plan is larger than its estimate, or its machine smaller than was
thought. Both are the same: the machine's usable bytes are divided by measured over estimated, and by enough that the
failed plan is seen as not fitting. What fits into that is offered, if it fits the machine as it was planned for too.
"""

from __future__ import annotations

import shlex
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, replace
from itertools import combinations, islice
from typing import Literal

from tunekit.errors import UsageError
from tunekit.hardware.spec import Hardware
from tunekit.memory.terms import PlaceEstimate
from tunekit.planner.answered import answered_values
from tunekit.planner.candidates import families
from tunekit.planner.change import Change, joined
from tunekit.planner.fixes import find_fixes
from tunekit.planner.plan import Plan, Verdict
from tunekit.planner.resolve import Resolved, resolve
from tunekit.planner.verdict import PLACE_NAMES
from tunekit.recipe.loading import load_recipe, origin_of
from tunekit.recipe.schema import Recipe
from tunekit.speed.estimate import estimate_speed
from tunekit.units import format_bytes

MOST = 3
MARGIN = 1.02
"""A plan that ran out of memory needs at least so many times what its machine has."""

FullPlace = Literal["device", "host"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """Where memory ran out, and the most that was seen of it there, in bytes; 0: nobody measured it."""

    place: FullPlace
    bytes: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Mend:
    """A change that was planned: `set` is what to type, several `key=value` with spaces between.

    `planned_bytes` is the estimate of the place that was full, `failed_bytes` that of the plan that failed;
    `measured_bytes` is the estimate scaled by what was measured, where that was more than is usable, else 0.
    """

    set: str
    verdict: Verdict
    place: FullPlace
    planned_bytes: int
    failed_bytes: int
    measured_bytes: int
    usable_bytes: int
    tokens_per_second: float | None

    @property
    def overrides(self) -> tuple[str, ...]:
        """The `key=value` one by one."""
        return tuple(shlex.split(self.set))

    def __str__(self) -> str:
        """`train.micro_batch_size=1 (GPU 12.1 GiB planned instead of 20.2, of 22.5 GiB usable; 663 tokens/s)`."""
        now, before, usable = map(format_bytes, (self.planned_bytes, self.failed_bytes, self.usable_bytes))
        scaled = f" ({format_bytes(self.measured_bytes)} by what was measured)" if self.measured_bytes else ""
        text = f"{PLACE_NAMES[self.place]} {now}{scaled} planned instead of {before}, of {usable} usable"
        speed = "" if self.tokens_per_second is None else f"; {self.tokens_per_second:,.0f} tokens/s"
        return f"{self.set} ({text}{speed})"


def find_mends(plan: Plan, seen: Seen, *, keys: Collection[str] | None = None, most: int = MOST) -> tuple[Mend, ...]:
    """The changes that are enough, best first; with `keys`, those that set no other key. () where nothing is."""
    try:
        first = resolve(mended_recipe(plan), plan.model_shape, plan.hardware, plan.trust)
        seen = replace(seen, place="host") if plan.job.accelerator == "cpu" else seen  # which holds all there
        factor = evidence_factor(first, seen)
        if factor is None:
            return ()
        # What was measured says something of the model's estimate, nothing of the table's.
        found = resolve(mended_recipe(plan), plan.model_shape, shrunk(plan.hardware, seen.place, factor), "model")
        tried = (_mend(plan, found, typed, seen) for typed in _once(_candidates(found, keys)))
        return tuple(islice((mend for mend in tried if mend is not None), most))
    except UsageError:  # the plan is of another version, or its files are gone
        return ()


def mended_recipe(plan: Plan, overrides: Iterable[str] = ()) -> Recipe:
    """What was run as a recipe, every answer written out, with these changes. RecipeError: they cannot be."""
    return load_recipe(answered_values(plan), tuple(overrides)).recipe


def evidence_factor(found: Resolved, seen: Seen) -> float | None:
    """How many times its estimate a job has taken, at least so many that it does not fit; None: nothing was planned."""
    place: PlaceEstimate = getattr(found.trial.memory, seen.place)
    if not place.expected_bytes:
        return None
    return max(seen.bytes / place.expected_bytes, MARGIN * place.usable_bytes / place.expected_bytes)


def shrunk(hardware: Hardware, place: FullPlace, factor: float) -> Hardware:
    """The machine with so many times less to fill in one place."""
    if place == "host":
        usable = int(hardware.host.usable_ram_bytes / factor)
        return replace(hardware, host=replace(hardware.host, usable_ram_bytes=usable))
    gpus = tuple(replace(gpu, usable_bytes=int(gpu.usable_bytes / factor)) for gpu in hardware.gpus)
    return replace(hardware, gpus=gpus)


def _candidates(found: Resolved, keys: Collection[str] | None) -> Iterator[str]:
    """What might be enough, in the words that are typed: the fixes of the plan; with `keys`, then several of them."""
    for fix in find_fixes(found, origin_of(found.asked), searching=False):
        if fix.verdict != "rejected" and not fix.set.startswith("hardware=") and _within(fix.set, keys):
            yield fix.set
    if keys is not None:
        yield from (joined(changes).typed for changes in _several(found, keys))


def _once(candidates: Iterator[str]) -> Iterator[str]:
    """Each once, as it comes; the same words in another order are the same."""
    seen: set[frozenset[str]] = set()
    for typed in candidates:
        words = frozenset(shlex.split(typed))
        if words not in seen:
            seen.add(words)
            yield typed


def _several(found: Resolved, keys: Collection[str]) -> Iterator[tuple[Change, ...]]:
    """Changes of different kinds together, fewer before more, milder before harder ones."""
    allowed = [[change for change in family if _within(change.typed, keys)] for family in families(found)]
    kinds = [family for family in allowed if family]
    for count in (1, 2, 3):
        for picked in combinations(kinds, count):
            yield from _one_of_each(picked)


def _one_of_each(kinds: tuple[list[Change], ...]) -> Iterator[tuple[Change, ...]]:
    """Each kind's mildest member, then each one's hardest."""
    yield tuple(family[0] for family in kinds)
    if any(len(family) > 1 for family in kinds):
        yield tuple(family[-1] for family in kinds)


def _within(typed: str, keys: Collection[str] | None) -> bool:
    return keys is None or all(word.partition("=")[0] in keys for word in shlex.split(typed))


def _mend(plan: Plan, found: Resolved, typed: str, seen: Seen) -> Mend | None:
    """The change, planned on the machine as it is and as it has proved to be; None where either says no."""
    try:
        recipe = mended_recipe(plan, shlex.split(typed))
        proved = resolve(recipe, plan.model_shape, found.settled.hardware, "model").trial
        planned = resolve(recipe, plan.model_shape, plan.hardware, plan.trust).trial
    except UsageError:
        return None
    if "rejected" in (proved.judgement.verdict, planned.judgement.verdict):
        return None
    place: PlaceEstimate = getattr(planned.memory, seen.place)
    failed = getattr(found.trial.memory, seen.place).expected_bytes
    measured = seen.bytes > place.usable_bytes
    speed = estimate_speed(planned.job, plan.model_shape, plan.hardware)
    return Mend(
        set=typed,
        verdict=proved.judgement.verdict,
        place=seen.place,
        planned_bytes=place.expected_bytes,
        failed_bytes=failed,
        measured_bytes=round(place.expected_bytes * seen.bytes / failed) if measured else 0,
        usable_bytes=place.usable_bytes,
        tokens_per_second=None if speed is None else speed.tokens_per_second.expected,
    )
