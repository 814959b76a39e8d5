"""Ranked fixes for a plan that is rejected or tight: every one is planned again, for real, before it is offered.

Of each family the least harmful member that is enough is taken, of several the fastest. What the search of `fit` finds
with places and passes left open stands for all that only says them otherwise and is no faster. When no single change is
enough, changes are joined greedily, three at most. What surely fits comes before what fits tightly; then what harms and
slows least by the speed model; then the smallest shipped machine that runs the job as it is; last, where little is
enough, what helps most without being enough. Changes are tried on the ladder, what is shown by the whole search.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from itertools import groupby
from math import log2

from tunekit.errors import RecipeError
from tunekit.hardware.spec import Hardware
from tunekit.planner.candidates import BF16_STATES, NVME_FOLDER, Family, families
from tunekit.planner.change import Change, Setting, applied, completed, joined
from tunekit.planner.larger import larger_machines, machine_change
from tunekit.planner.opening import SEARCHED, opened
from tunekit.planner.plan import Fix, Verdict
from tunekit.planner.resolve import Resolved, resolve
from tunekit.planner.search import Trial
from tunekit.planner.verdict import Demand
from tunekit.planner.zero import why
from tunekit.recipe.origin import Origin
from tunekit.speed.estimate import estimate_speed
from tunekit.speed.run import wear_words
from tunekit.speed.terms import SpeedEstimate

_ORDER: dict[Verdict, int] = {"fits": 0, "tight": 1, "rejected": 2}
MOST_SHOWN = 6
WORTH_WORDS = 1.05
"""A plan that is so many times as fast is worth more keys to type."""
MOST_JOINED = 3
STARTS = 4
_DEAR = 0.5
"""When the cheapest single change costs more than this, several mild ones may be better."""
_LEAST_STEP = 20
"""What saves less than a twentieth of the missing bytes is not worth typing."""
FEW = 2
DOUBLING = 0.5
"""Twice the time is half as bad as a plain loss of quality, so that half as long again comes before a 4-bit base."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Option:
    """A change that was planned. `saved` are bytes at the place where the first plan is worst."""

    change: Change
    found: Resolved
    saved: int
    speed: SpeedEstimate | None
    """None where no speed is known."""

    @property
    def verdict(self) -> Verdict:
        """The verdict after the change."""
        return self.found.trial.judgement.verdict

    @property
    def seconds(self) -> float | None:
        """Of a token."""
        return None if self.speed is None else 1 / self.speed.tokens_per_second.expected

    def expense(self, reference: float | None) -> float:
        """What the change costs: harm to the result, and `DOUBLING` for every doubling of the reference's seconds."""
        if not self.seconds or not reference:
            return self.change.harm
        return self.change.harm + DOUBLING * max(0.0, log2(self.seconds / reference))


def find_fixes(found: Resolved, origin: Origin, *, searching: bool = True) -> tuple[Fix, ...]:
    """The fixes of a plan that does not surely fit, best first; without `searching` all keys are given values.

    Each is typed behind what `origin` says was typed, in the place of words with the same keys.
    """
    wanted = _ORDER[found.trial.judgement.verdict]
    singles = _options(found, found, (), origin)
    single_keys = (_exactly(found, option) for option in singles if len(option.change.settings) == 1)
    searched = _worth_searching(_searched(found, origin), tuple(single_keys)) if searching else ()
    enough = [option for option in singles if _ORDER[option.verdict] < wanted and not _outdone(option, searched)]
    enough = ranked_options((*enough, *searched))
    if found.trial.judgement.verdict == "tight":
        return tuple(map(fix_of, _shown(found, enough)))
    if not enough or enough[0].expense(_seconds(found, found.outcome.taken)) > _DEAR:
        more = (option for option in _combinations(found, singles, origin) if not _outdone(option, searched))
        enough = ranked_options((*enough, *more))
    fixes = [fix_of(option) for option in _shown(found, enough)]
    fixes += _other_machines(found, singles, origin, last=not fixes)
    if len(enough) < FEW:
        helpful = sorted(singles, key=lambda option: -option.saved)
        fixes += [fix_of(_exactly(found, option)) for option in helpful if _comes_nearer(found, option)][:FEW]
    return tuple(sorted(fixes, key=lambda fix: _ORDER[fix.verdict]))


def _searched(first: Resolved, origin: Origin) -> tuple[Option, ...]:
    """What the whole search finds with places and passes open; where that rounds the states, what it finds without."""
    found = _search_again(first, (), origin)
    if found is None or not found.change.harm:
        return () if found is None else (found,)
    exact = _search_again(first, (("zero.bf16_states", False),), origin)
    return (found,) if exact is None else (found, exact)


def _search_again(first: Resolved, stated: tuple[Setting, ...], origin: Origin) -> Option | None:
    """The best with places and passes open; with a folder to swap to where nothing fits without one."""
    asked, wanted = first.asked, _ORDER[first.trial.judgement.verdict]
    free = joined(Change(settings=each, note="") for each in (opened(origin, asked, first.trial.job.batch), stated))
    swaps = asked.zero.nvme_path is None and asked.zero.config is None and bool(first.settled.hardware.disks)
    folder = Change(settings=(("zero.nvme_path", NVME_FOLDER),), note="")
    for change in (free, *([joined((free, folder))] if swaps else [])):
        option = _plan_again(first, change, origin, exact=True) if change.settings else None
        if option is not None and option.found.exact and _ORDER[option.verdict] < wanted:
            return _told(first, option)
    return None


def _told(first: Resolved, option: Option) -> Option:
    """With what was found in words, and what it costs."""
    trial = option.found.trial
    harm = BF16_STATES if trial.job.zero.bf16_states and not first.trial.job.zero.bf16_states else 0.0
    return replace(option, change=replace(option.change, note=placed_words(option), harm=harm))


def placed_words(option: Option) -> str:
    """Where the states rest after the change, how many rows a pass takes, and what is to be written for a folder."""
    trial = option.found.trial
    rows = trial.job.batch.micro_batch_size
    words = f"{why(trial.rung, option.found.settled.hardware)}; {rows} row{'s' if rows > 1 else ''} a pass"
    if any(value == NVME_FOLDER for _, value in option.change.settings):
        words += f"; write a folder of your own for {NVME_FOLDER}"
    return words


def _worth_searching(searched: tuple[Option, ...], singles: tuple[Option, ...]) -> tuple[Option, ...]:
    """Those than which no single value that is typed is as good: nearly as fast, with no more harm."""
    return tuple(
        each
        for each in searched
        if not any(
            single.change.harm <= each.change.harm
            and _ORDER[single.verdict] <= _ORDER[each.verdict]
            and (single.seconds or 0.0) <= WORTH_WORDS * (each.seconds or 0.0)
            for single in singles
        )
    )


def _outdone(option: Option, searched: tuple[Option, ...]) -> bool:
    """Only places and passes are changed, and the search found the same or better with no more harm."""
    keys = {key for key, _ in option.change.settings}
    if not keys <= SEARCHED | {"zero.nvme_path"} or not any(key.startswith("zero.") for key in keys):
        return False
    return any(
        each.change.harm <= option.change.harm and each.seconds is not None and each.seconds <= (option.seconds or 0.0)
        for each in searched
    )


def _shown(found: Resolved, enough: list[Option]) -> list[Option]:
    """The best of what is enough, each as its plan will be."""
    return ranked_options(_exactly(found, option) for option in enough[:MOST_SHOWN])


def _options(first: Resolved, now: Resolved, before: tuple[Change, ...], origin: Origin) -> tuple[Option, ...]:
    """One option per family: of the least harmful members that are enough the best, or what saves most."""
    picked = (_pick(first, now, before, family, origin) for family in families(now))
    return tuple(option for option in picked if option is not None)


def _pick(first: Resolved, now: Resolved, before: tuple[Change, ...], family: Family, origin: Origin) -> Option | None:
    wanted = _ORDER[first.trial.judgement.verdict]
    best: Option | None = None
    for _, members in groupby(sorted(family, key=_harm), key=_harm):
        planned = (_plan_again(first, joined((*before, change)), origin) for change in members)
        options = [option for option in planned if option is not None and option.saved > 0]
        enough = [option for option in options if _ORDER[option.verdict] < wanted]
        if enough:
            return ranked_options(enough)[0]
        best = max((*options, *filter(None, [best])), key=lambda option: option.saved, default=None)
    return best


def _harm(change: Change) -> float:
    return change.harm


def _plan_again(first: Resolved, change: Change, origin: Origin, *, exact: bool = False) -> Option | None:
    settled, change = first.settled, completed(origin, change)
    recipe = applied(origin, change)
    if recipe is None:
        return None
    try:
        found = resolve(recipe, settled.shape, settled.hardware, first.trust, exact=exact)
    except RecipeError:
        return None
    return option_of(first, change, found)


def option_of(first: Resolved, change: Change, found: Resolved) -> Option:
    """The change with what was found after it, held against the first plan."""
    return Option(change=change, found=found, saved=_saved(first, found), speed=_speed(found, found.trial))


def _exactly(first: Resolved, option: Option) -> Option:
    """The option as the plan of the changed recipe will be."""
    settled = option.found.settled
    return option_of(first, option.change, resolve(option.found.asked, settled.shape, settled.hardware, first.trust))


def _speed(found: Resolved, trial: Trial) -> SpeedEstimate | None:
    return estimate_speed(trial.job, found.settled.shape, found.settled.hardware)


def _seconds(found: Resolved, trial: Trial) -> float | None:
    """Of a token; None where no speed is known."""
    speed = _speed(found, trial)
    return None if speed is None else 1 / speed.tokens_per_second.expected


def _saved(first: Resolved, after: Resolved) -> int:
    worst = first.trial.judgement.worst
    return worst.expected_bytes - _same_place(worst, after).expected_bytes


def _same_place(worst: Demand, after: Resolved) -> Demand:
    return next(
        (each for each in after.trial.judgement.demands if (each.judge, each.place) == (worst.judge, worst.place)),
        after.trial.judgement.worst,
    )


def _combinations(first: Resolved, singles: tuple[Option, ...], origin: Origin) -> Iterator[Option]:
    """From the changes that come nearest, add what is enough, or what helps most, until it is enough.

    What is enough alone is never added: the other part would be for nothing.
    """
    alone = [set(option.change.settings) for option in singles if option.verdict != "rejected"]
    steps = (option for option in singles if option.verdict == "rejected")
    for start in sorted(steps, key=lambda option: option.found.trial.preference)[:STARTS]:
        option = start
        for _ in range(MOST_JOINED - 1):
            more = _options(first, option.found, (option.change,), origin)
            enough = ranked_options(each for each in more if each.verdict != "rejected")
            if enough:
                yield from (each for each in enough if not _holds(each, alone))
                break
            nearest = min(more, key=lambda each: each.found.trial.preference, default=None)
            if nearest is None:
                break
            option = nearest


def _holds(option: Option, alone: list[set[Setting]]) -> bool:
    return any(single <= set(option.change.settings) for single in alone)


def _comes_nearer(first: Resolved, option: Option) -> bool:
    """Not enough alone, but a step: the worst place after it is less overfull than the worst before it."""
    before, after = first.trial.judgement, option.found.trial.judgement
    helps = option.saved * _LEAST_STEP >= before.worst.missing_bytes
    return option.verdict == "rejected" and helps and after.overshoot < before.overshoot


def ranked_options(options: Iterable[Option]) -> list[Option]:
    """What surely fits first, then the cheapest beside the fastest of them, then the fastest; each change once."""
    every = list(options)
    fastest = min((option.seconds for option in every if option.seconds), default=None)
    cheapest: dict[frozenset[Setting], Option] = {}
    for option in sorted(every, key=lambda each: (_ORDER[each.verdict], each.expense(fastest), each.seconds or 0.0)):
        cheapest.setdefault(frozenset(option.change.settings), option)
    return list(cheapest.values())


def fix_of(option: Option) -> Fix:
    """The option in the words and bytes that are shown."""
    worst, speed = option.found.trial.judgement.worst, option.speed
    return Fix(
        set=option.change.typed,
        saves_bytes=max(0, option.saved),
        note=option.change.note + _wear(speed),
        verdict=option.verdict,
        tokens_per_second=None if speed is None else speed.tokens_per_second.expected,
        needs_place=worst.place,
        needs_bytes=worst.expected_bytes if option.verdict == "rejected" else worst.high_bytes,
        usable_bytes=worst.usable_bytes,
        needs_by=worst.judge,
    )


def _wear(speed: SpeedEstimate | None) -> str:
    return f"; {wear_words(speed)}, which wears the drive" if speed is not None and speed.nvme_bytes_per_step else ""


def _other_machines(first: Resolved, singles: tuple[Option, ...], origin: Origin, *, last: bool) -> Iterator[Fix]:
    """The smallest larger machine that runs the recipe, places and passes as they are or chosen for it.

    When it is the last way out, with one change of the recipe too.
    """
    machines = larger_machines(first.settled.hardware)
    changes: list[tuple[Change, ...]] = [()]
    if last:
        changes += [(option.change,) for option in sorted(singles, key=lambda option: option.change.harm)]
    free = Change(settings=opened(origin, first.asked, first.trial.job.batch), note="")
    variants: tuple[tuple[Change, ...], ...] = ((), (free,)) if free.settings else ((),)
    for before in changes:
        for hardware in machines:
            tried = (_on(first, hardware, (*more, *before), origin, last=last) for more in variants)
            enough = [option for option in tried if option is not None and option.verdict != "rejected"]
            if enough:
                # A larger machine saves nothing: it has more.
                yield replace(fix_of(_faster([_exactly(first, option) for option in enough])), saves_bytes=0)
                return


def _faster(options: list[Option]) -> Option:
    """What surely fits, then the fastest; the first where no other is worth more words."""
    order = sorted(options, key=lambda each: (_ORDER[each.verdict], each.seconds or 0.0))
    first, best = options[0], order[0]
    as_sure = first.verdict == best.verdict
    return first if as_sure and (first.seconds or 0.0) <= WORTH_WORDS * (best.seconds or 0.0) else best


def _on(
    first: Resolved, hardware: Hardware, before: tuple[Change, ...], origin: Origin, *, last: bool
) -> Option | None:
    change = completed(origin, joined((machine_change(hardware, last=last), *before)))
    recipe = applied(origin, change)
    if recipe is None:
        return None
    try:
        found = resolve(recipe, first.settled.shape, hardware, first.trust, exact=False)
    except RecipeError:
        return None
    return option_of(first, change, found)
