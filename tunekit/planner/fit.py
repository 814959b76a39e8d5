"""`find_plans`: search every plan of a model on a machine, recommend one, and say what would do where none fits."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from dataclasses import replace

from tunekit.errors import RecipeError, UsageError
from tunekit.hardware.spec import Hardware
from tunekit.model_shape.shape import ModelShape
from tunekit.planner.advice import resume_shortfall
from tunekit.planner.candidate import TOLD_TOKENS, candidate_of
from tunekit.planner.candidates import NVME_FOLDER
from tunekit.planner.change import Change, Setting, applied
from tunekit.planner.explore import Explored, explore_for_sure
from tunekit.planner.fit_recipe import EXAMPLE_DATA
from tunekit.planner.goals import ranked, runner_up, why_not
from tunekit.planner.make import make_plan
from tunekit.planner.plan import Fix, Plan, Trust
from tunekit.planner.search import Trial, shortfall
from tunekit.planner.search_result import Candidate, Goal, SearchResult
from tunekit.planner.settings import settings_of
from tunekit.planner.space import settled_for
from tunekit.planner.steps import few_steps
from tunekit.recipe.data_length import read_lengths
from tunekit.recipe.loading import origin_of
from tunekit.recipe.schema import Recipe


def find_plans(
    recipe: Recipe,
    shape: ModelShape,
    hardware: Hardware,
    *,
    goal: Goal = "speed",
    tokens: int | None = None,
    tokens_said: str = "",
    by_epochs: bool = False,
    trust: Trust = "both",
) -> SearchResult:
    """Search all that the recipe leaves open; all methods where it names none.

    `tokens` become `train.max_steps`; with `by_epochs` they are those of the data, which is gone through
    `train.num_epochs` times.
    UsageError: nobody knows how fast this machine is.
    RecipeError: what the recipe states cannot work on this model and machine.
    """
    if not hardware.gpus:
        raise UsageError(
            f"{hardware.name} has no GPU, and nothing published tells how fast CPU processes train. Name the "
            "machine to search for, e.g. --on dual_rtx4090 (`tunekit hardware` lists them); `tunekit plan` needs none."
        )
    explored = explore_for_sure(settled_for(recipe, shape, hardware), trust)
    asked = tokens or TOLD_TOKENS
    weighed = (candidate_of(each, explored, hardware, asked) for each in explored.fitting)
    found = tuple(sorted(weighed, key=lambda each: each.seconds_per_token))
    order = ranked([each for each in found if each.on_frontier], goal)
    best = order[0] if order else None
    other = runner_up(order) if order else None
    settings = _settings(explored, best, _length(recipe, best, tokens, by_epochs=by_epochs))
    plan = _plan(recipe, shape, hardware, trust, settings)
    return SearchResult(
        goal=goal,
        recipe=recipe,
        model_shape=shape,
        hardware=hardware,
        tokens=asked,
        tokens_said=tokens_said,
        candidates=found,
        recommended=best,
        runner_up=other,
        reason=_reason(best, other, explored.nearest, goal),
        plan=plan,
        no_resume=resume_shortfall(plan) if plan and best else "",
        fixes=_fixes(recipe, plan, trust) if plan and best is None else (),
        plans=explored.plans,
        weighed=explored.weighed,
    )


def _fixes(recipe: Recipe, plan: Plan, trust: Trust) -> tuple[Fix, ...]:
    """Those of the plan that comes nearest; of what swaps to the drive only what the search of it recommends."""
    drive = tuple(_from_the_drive(recipe, plan.model_shape, plan.hardware, trust))
    others = (fix for fix in plan.fixes if NVME_FOLDER not in fix.set or "method.kind" in fix.set)
    return (*drive, *(replace(fix, set=_asked_only(fix.set, recipe)) for fix in others))


def _asked_only(change: str, recipe: Recipe) -> str:
    """Without the keys that are left open again: here all are open that nobody stated."""
    return shlex.join(word for word in shlex.split(change) if not word.endswith("=auto") or _states(recipe, word))


def _states(recipe: Recipe, word: str) -> bool:
    section, _, name = word.partition("=")[0].rpartition(".")
    return getattr(getattr(recipe, section), name) is not None


def _from_the_drive(recipe: Recipe, shape: ModelShape, hardware: Hardware, trust: Trust) -> Iterator[Fix]:
    """A folder to swap to, where that makes the fastest of the plans fit that are possible then."""
    if recipe.zero.nvme_path is not None or not hardware.disks:
        return
    change = Change(settings=(("zero.nvme_path", NVME_FOLDER),), note="")
    swapping = applied(origin_of(recipe), change)
    found = explore_for_sure(settled_for(swapping, shape, hardware), trust).fitting if swapping else ()
    if found:
        best = min(found, key=lambda each: each.order)
        note = "states or weights rest on the drive, which swapping wears; write a folder of your own"
        rate = best.speed.tokens_per_second.expected
        yield Fix(set=change.typed, saves_bytes=0, note=note, verdict=best.verdict, tokens_per_second=rate)


def _length(recipe: Recipe, best: Candidate | None, tokens: int | None, *, by_epochs: bool) -> tuple[Setting, ...]:
    """How long the run is, where somebody said it."""
    if best is None or tokens is None:
        return ()
    if not by_epochs:
        return (("train.max_steps", best.run.steps),)
    return (("train.num_epochs", recipe.train.num_epochs),) if recipe.train.max_steps is None else ()


def _settings(explored: Explored, best: Candidate | None, length: tuple[Setting, ...]) -> tuple[Setting, ...] | None:
    if best is not None:
        return (*best.settings, *length)
    return settings_of(explored.nearest.job) if explored.nearest else None


def _plan(
    recipe: Recipe,
    shape: ModelShape,
    hardware: Hardware,
    trust: Trust,
    settings: tuple[Setting, ...] | None,
) -> Plan | None:
    """The plan of a recipe with these settings, as `tunekit plan` makes it."""
    if settings is None:
        return None
    chosen = applied(origin_of(recipe), Change(settings=settings, note=""))
    if chosen is None:
        return None
    try:
        plan = make_plan(chosen, shape, hardware, trust=trust)
    except RecipeError:
        return None
    return _without_steps_of_example(plan)


def _without_steps_of_example(plan: Plan) -> Plan:
    """The plan; where nobody named data, how few steps the example makes is no news."""
    if plan.recipe.data.path != EXAMPLE_DATA:
        return plan
    few = few_steps(plan.recipe, plan.job, read_lengths(plan.recipe.data, plan.model_shape.vocab_size))
    return replace(plan, warnings=tuple(each for each in plan.warnings if each != few))


def _reason(best: Candidate | None, other: Candidate | None, nearest: Trial | None, goal: Goal) -> str:
    if best is None:
        return f"What comes nearest: the {shortfall(nearest)}." if nearest else "Nothing can be tried."
    if other is None:
        return "Nothing else fits."
    return why_not(best, other, goal)
