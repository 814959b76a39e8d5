"""From recipe, model and machine to a `Job`: every question answered, every fault reported."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from tunekit.ds_config.user_file import adopt_user_config
from tunekit.errors import Problem, RecipeError
from tunekit.hardware.spec import Hardware
from tunekit.model_shape.shape import ModelShape
from tunekit.planner.exact import Exact, search_exactly
from tunekit.planner.plan import Decision, Trust
from tunekit.planner.search import Outcome, Settled, Trial, search
from tunekit.planner.settle import settle
from tunekit.planner.zero import contradiction_problems
from tunekit.recipe.keys import position
from tunekit.recipe.schema import Recipe


@dataclass(frozen=True, slots=True, kw_only=True)
class Resolved:
    """A job with how it was found.

    `asked` is the recipe as it was given; `settled.recipe` also has what the user's own DeepSpeed JSON states.
    `early` are the decisions made before the search. `outcome` is what the ladder says, `exact` what `fit` would.
    """

    asked: Recipe
    settled: Settled
    outcome: Outcome
    early: tuple[Decision, ...]
    trust: Trust
    exact: Exact | None = None
    """None on a machine without GPUs, of which no speed is known, and where nobody asked for it."""

    @property
    def trial(self) -> Trial:
        """The job that was taken, weighed."""
        return self.exact.taken if self.exact else self.outcome.taken


def resolve(
    recipe: Recipe, shape: ModelShape, hardware: Hardware, trust: Trust = "both", *, exact: bool = True
) -> Resolved:
    """Find the job: by the search of `tunekit fit` where the speed is known, else, or with `exact` off, by the ladder.

    RecipeError: every combination that cannot work on this model and machine.
    """
    stated = adopt_user_config(recipe)
    settled, early, faults = settle(stated, shape, hardware)
    outcome = search(settled, trust)
    faults += (*contradiction_problems(outcome.taken.rung, stated.zero), *outcome.taken.problems)
    if faults:
        raise RecipeError(_in_schema_order(_from_file(fault, recipe, stated) for fault in faults))
    best = search_exactly(settled, trust) if exact and hardware.gpus else None
    if best is not None:
        settled = replace(settled, optimizer=best.taken.job.optimizer)
    return Resolved(asked=recipe, settled=settled, outcome=outcome, early=early, trust=trust, exact=best)


def _from_file(fault: Problem, asked: Recipe, stated: Recipe) -> Problem:
    """The fault, told to stand in the user's own DeepSpeed JSON where only that states the value."""
    name, _, key = fault.key.partition(".")
    section, filled = getattr(asked, name, None), getattr(stated, name, None)
    if getattr(section, key, None) == getattr(filled, key, None):
        return fault
    return replace(fault, where=str(asked.zero.config))


def _in_schema_order(problems: Iterable[Problem]) -> tuple[Problem, ...]:
    return tuple(sorted(dict.fromkeys(problems), key=lambda problem: position(problem.key)))
