"""Ways out of a search that found nothing: each change is searched with, as `fit` with it will, and told by its best.

Nobody need say what is searched anyway. So a change sets what somebody stated, or what is no choice of the search: the
length of rows, a folder to swap to, another machine. Where that is not enough beside what was stated of places and
passes, that is left open too, and named.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from tunekit.errors import RecipeError
from tunekit.hardware.profiles import load_profile
from tunekit.hardware.spec import Hardware
from tunekit.model_shape.shape import ModelShape
from tunekit.planner.candidate import TOLD_TOKENS
from tunekit.planner.candidates import NVME_FOLDER, families
from tunekit.planner.change import Change, applied, completed, joined
from tunekit.planner.exact import Exact, in_order_of
from tunekit.planner.explore import anything_fits, explore_for_sure
from tunekit.planner.fixes import MOST_SHOWN, Option, fix_of, option_of, placed_words, ranked_options
from tunekit.planner.larger import larger_machines, machine_change
from tunekit.planner.opening import SEARCHED, opened
from tunekit.planner.plan import Fix, Trust
from tunekit.planner.resolve import Resolved
from tunekit.planner.search import Outcome, Settled, try_job
from tunekit.planner.search_result import Goal
from tunekit.planner.space import settled_for
from tunekit.recipe.origin import Origin
from tunekit.recipe.schema import MethodKind, Recipe

NO_CHANGE = Change(settings=(), note="")
OPEN_TOO = frozenset(("method.kind", "method.double_quant", "data.packing", "train.optimizer"))
"""What the search chooses beside places and passes."""
_METHODS: dict[MethodKind, str] = {"full": "all weights", "lora": "LoRA", "qlora": "QLoRA"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Length:
    """How long the run is to be.

    `tokens` become `train.max_steps`; with `by_epochs` they are those of the data, which is gone through
    `train.num_epochs` times. `said` tells where the number comes from.
    """

    tokens: int | None = None
    said: str = ""
    by_epochs: bool = False

    @property
    def told(self) -> int:
        """Tokens that hours and energy are told for."""
        return self.tokens or TOLD_TOKENS


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What is searched for: a recipe, what it was made of, and what is best."""

    origin: Origin
    recipe: Recipe
    shape: ModelShape
    hardware: Hardware
    goal: Goal = "speed"
    length: Length = Length()
    trust: Trust = "both"

    def states(self, key: str) -> bool:
        """Whether somebody gave the key a value."""
        section, _, name = key.rpartition(".")
        values = getattr(self.recipe, section)
        return name in values.model_fields_set and getattr(values, name) is not None


@dataclass(frozen=True, slots=True, kw_only=True)
class Space:
    """A change that can be searched with, and all that is possible then."""

    change: Change
    recipe: Recipe
    hardware: Hardware
    spaces: tuple[Settled, ...]


def find_ways(asked: Asked, nearest: Resolved) -> tuple[Fix, ...]:
    """The changes with which the search finds something, the mildest first, then the smallest machine that is enough.

    `nearest` is what comes nearest to fitting.
    """
    free = Change(settings=opened(asked.origin, asked.recipe, nearest.trial.job.batch), note="")
    if asked.recipe.zero.config is not None:
        free = Change(settings=(("zero.config", "null"),), note="without the DeepSpeed JSON of your own")
    opening = _search(asked, nearest, free) if free.settings else None
    # What is enough alone is never joined: the other part would be for nothing.
    beside = NO_CHANGE if opening else free
    here = [way for members in _kinds(asked, nearest, beside) if (way := _mildest(asked, nearest, members, beside))]
    here = ranked_options((*([opening] if opening else []), *here))
    machine = _elsewhere(asked, nearest, beside, last=not here)
    fixes = [*map(fix_of, here[:MOST_SHOWN]), *([replace(fix_of(machine), saves_bytes=0)] if machine else [])]
    return tuple(sorted(fixes, key=lambda fix: ("fits", "tight", "rejected").index(fix.verdict)))


def _kinds(asked: Asked, nearest: Resolved, beside: Change) -> Iterator[tuple[Change, ...]]:
    """Changes of one kind, the mildest first: a folder to swap to, another method, and what makes any plan smaller."""
    if asked.recipe.zero.nvme_path is None and asked.recipe.zero.config is None and asked.hardware.disks:
        yield (Change(settings=(("zero.nvme_path", NVME_FOLDER),), note=""),)
    stated = (tuple(_stated_only(asked, family)) for family in families(nearest))
    kinds = [tuple(sorted(members, key=lambda change: change.harm)) for members in stated if members]
    yield from (members for members in kinds if _of_method(members[0]))
    others = [members for members in kinds if not _of_method(members[0])]
    # Where all of them together are not enough, none is.
    if others and _enough(asked, joined((beside, *(members[-1] for members in others)))):
        yield from others


def _of_method(change: Change) -> bool:
    return any(key == "method.kind" for key, _ in change.settings)


def _stated_only(asked: Asked, family: Sequence[Change]) -> Iterator[Change]:
    """Each once, without the keys that the search chooses and what was said of them; none of what it chooses alone."""
    seen: set[tuple[str, ...]] = set()
    for change in family:
        kept = tuple((key, value) for key, value in change.settings if not _chosen(asked, key))
        note = change.note if kept == change.settings else change.note.partition("; ")[0]
        left = replace(change, settings=kept, note=note)
        if kept and left.words not in seen and kept != (("zero.nvme_path", NVME_FOLDER),):
            seen.add(left.words)
            yield left


def _chosen(asked: Asked, key: str) -> bool:
    return key in SEARCHED or (key in OPEN_TOO and not asked.states(key))


def _mildest(asked: Asked, nearest: Resolved, members: Sequence[Change], beside: Change) -> Option | None:
    """The mildest member with which something is found."""
    tried = (_found(asked, nearest, change, beside) for change in members)
    return next((way for way in tried if way), None)


def _found(asked: Asked, nearest: Resolved, change: Change, beside: Change) -> Option | None:
    """With the change alone, or else with places and passes left open beside it."""
    alone = _search(asked, nearest, change)
    return alone or (_search(asked, nearest, joined((change, beside))) if beside.settings else None)


def _elsewhere(asked: Asked, nearest: Resolved, beside: Change, *, last: bool) -> Option | None:
    """The smallest larger machine on which something is found; as the last way out, with another method too."""
    changes = [NO_CHANGE]
    if last:
        kinds = (tuple(_stated_only(asked, family)) for family in families(nearest))
        changes += [members[0] for members in kinds if members and _of_method(members[0])]
    for change in changes:
        for hardware in larger_machines(asked.hardware):
            machine = machine_change(hardware, last=last)
            if way := _found(asked, nearest, joined((machine, change)), beside):
                return way
    return None


def _enough(asked: Asked, change: Change) -> bool:
    """Whether anything fits then, without asking what is best."""
    return _space(asked, change) is not None


def _search(asked: Asked, nearest: Resolved, change: Change) -> Option | None:
    """What the search recommends with the change typed behind what was typed; None where it finds nothing."""
    space = _space(asked, change)
    if space is None:
        return None
    explored = explore_for_sure(space.spaces, asked.trust)
    if not explored.frontier:
        return None
    _, best = in_order_of(explored, space.hardware, asked.goal, asked.length.told)[0]
    trial = try_job(best.site.settled, best.site.rung, best.job, best.sizes, asked.trust)
    found = Resolved(
        asked=space.recipe,
        settled=best.site.settled,
        outcome=Outcome(taken=trial, passed_over=(), too_large=()),
        early=(),
        trust=asked.trust,
        exact=Exact(taken=trial, best=best, fitting=explored.fitting),
    )
    return _told(asked, option_of(nearest, space.change, found))


def _space(asked: Asked, change: Change) -> Space | None:
    """What is searched then; None where it holds nothing that fits."""
    change = completed(asked.origin, change)
    recipe = applied(asked.origin, change)
    if recipe is None:
        return None
    hardware = next((load_profile(str(value)) for key, value in change.settings if key == "hardware"), asked.hardware)
    try:
        spaces = tuple(settled_for(recipe, asked.shape, hardware))
    except RecipeError:
        return None
    fits = anything_fits(spaces, asked.trust)
    return Space(change=change, recipe=recipe, hardware=hardware, spaces=spaces) if fits else None


def _told(asked: Asked, option: Option) -> Option:
    """With what is recommended then in words."""
    method = "" if asked.states("method.kind") else f"{_METHODS[option.found.trial.job.method]}: "
    note = f"{option.change.note}; " if option.change.note else ""
    return replace(option, change=replace(option.change, note=f"{note}{method}{placed_words(option)}"))
