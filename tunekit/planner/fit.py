"""`find_plans`: search every plan of a model on a machine, recommend one, and say what would do where none fits."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from tunekit.errors import RecipeError, UsageError
from tunekit.hardware.spec import Hardware
from tunekit.model_shape.shape import ModelShape
from tunekit.planner.advice import resume_shortfall
from tunekit.planner.candidate import candidate_of
from tunekit.planner.change import Change, Setting, applied
from tunekit.planner.explore import Explored, explore_for_sure
from tunekit.planner.fit_recipe import EXAMPLE_DATA
from tunekit.planner.goals import ranked, runner_up, why_not
from tunekit.planner.make import make_plan, plan_of
from tunekit.planner.plan import Plan, Trust
from tunekit.planner.resolve import Resolved, resolve
from tunekit.planner.search import Trial, shortfall
from tunekit.planner.search_result import Candidate, Goal, SearchResult
from tunekit.planner.settings import settings_of
from tunekit.planner.space import settled_for
from tunekit.planner.steps import few_steps
from tunekit.planner.ways import Asked, Length, find_ways
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
    """`search_for` a recipe that is all there is, for a run of so many tokens."""
    length = Length(tokens=tokens, said=tokens_said, by_epochs=by_epochs)
    origin = origin_of(recipe)
    return search_for(
        Asked(origin=origin, recipe=recipe, shape=shape, hardware=hardware, goal=goal, length=length, trust=trust)
    )


def search_for(asked: Asked) -> SearchResult:
    """Search all that the recipe leaves open; all methods where it names none.

    UsageError: nobody knows how fast this machine is.
    RecipeError: what the recipe states cannot work on this model and machine.
    """
    recipe, hardware, goal = asked.recipe, asked.hardware, asked.goal
    if not hardware.gpus:
        raise UsageError(
            f"{hardware.name} has no GPU, and nothing published tells how fast CPU processes train. Name the "
            "machine to search for, e.g. --on dual_rtx4090 (`tunekit hardware` lists them); `tunekit plan` needs none."
        )
    explored = explore_for_sure(settled_for(recipe, asked.shape, hardware), asked.trust)
    tokens = asked.length.told
    found, order = _weigh(explored, hardware, goal, tokens)
    if order and recipe.train.max_steps is not None:
        tokens = round(recipe.train.max_steps * order[0].speed.tokens_per_step)
        found, order = _weigh(explored, hardware, goal, tokens)
    best = order[0] if order else None
    other = runner_up(order) if order else None
    nearest = _nearest(asked, explored.nearest)
    plan = _plan(asked, best) if best else plan_of(nearest) if nearest else None
    return SearchResult(
        goal=goal,
        recipe=recipe,
        model_shape=asked.shape,
        hardware=hardware,
        tokens=tokens,
        tokens_said=asked.length.said,
        candidates=found,
        recommended=best,
        runner_up=other,
        reason=_reason(found, best, other, explored.nearest, goal),
        plan=_without_steps_of_example(plan) if plan else None,
        no_resume=resume_shortfall(plan) if plan and best else "",
        fixes=find_ways(asked, nearest) if nearest else (),
        plans=explored.plans,
        weighed=explored.weighed,
    )


def _weigh(
    explored: Explored, hardware: Hardware, goal: Goal, tokens: int
) -> tuple[tuple[Candidate, ...], tuple[Candidate, ...]]:
    """All that fits, the fastest first, and the frontier, the best for the goal first; for a run of so many tokens."""
    weighed = (candidate_of(each, explored, hardware, tokens) for each in explored.fitting)
    found = tuple(sorted(weighed, key=lambda each: each.seconds_per_token))
    return found, ranked([each for each in found if each.on_frontier], goal)


def _length(asked: Asked, best: Candidate) -> tuple[Setting, ...]:
    """How long the run is, where somebody said it."""
    if asked.length.tokens is None:
        return ()
    if not asked.length.by_epochs:
        return (("train.max_steps", best.run.steps),)
    train = asked.recipe.train
    return (("train.num_epochs", train.num_epochs),) if train.max_steps is None else ()


def _plan(asked: Asked, best: Candidate) -> Plan | None:
    """The plan of the recipe with what was found, as `tunekit plan` makes it."""
    chosen = _written(asked, (*best.settings, *_length(asked, best)))
    try:
        return make_plan(chosen, asked.shape, asked.hardware, trust=asked.trust) if chosen else None
    except RecipeError:
        return None


def _nearest(asked: Asked, nearest: Trial | None) -> Resolved | None:
    """What comes nearest to fitting, of a recipe that says so."""
    chosen = _written(asked, settings_of(nearest.job)) if nearest else None
    try:
        return resolve(chosen, asked.shape, asked.hardware, asked.trust) if chosen else None
    except RecipeError:
        return None


def _written(asked: Asked, settings: tuple[Setting, ...]) -> Recipe | None:
    """The recipe with what was chosen; what a DeepSpeed JSON of the user's own says is not said again."""
    own = asked.recipe.zero.config is not None
    chosen = tuple(each for each in settings if not (own and each[0].startswith("zero.")))
    return applied(origin_of(asked.recipe), Change(settings=chosen, note=""))


def _without_steps_of_example(plan: Plan) -> Plan:
    """The plan; where nobody named data, how few steps the example makes is no news."""
    if plan.recipe.data.path != EXAMPLE_DATA:
        return plan
    few = few_steps(plan.recipe, plan.job, read_lengths(plan.recipe.data, plan.model_shape.vocab_size))
    return replace(plan, warnings=tuple(each for each in plan.warnings if each != few))


def _reason(
    found: Sequence[Candidate], best: Candidate | None, other: Candidate | None, nearest: Trial | None, goal: Goal
) -> str:
    if best is None:
        return f"What comes nearest: the {shortfall(nearest)}." if nearest else "Nothing can be tried."
    if other is not None:
        return why_not(best, other, goal)
    if len(found) > 1:
        return "What else fits is no better in anything: not faster, not smaller, and gives up no less."
    return "Nothing else fits."
