"""`make_plan`: recipe, model and machine become a plan with its verdict and, where it is needed, its fixes."""

from __future__ import annotations

from dataclasses import replace
from typing import get_args

from tunekit.errors import UsageError
from tunekit.hardware.spec import Hardware
from tunekit.model_shape.shape import ModelShape
from tunekit.planner.advice import warnings_of
from tunekit.planner.fixes import find_fixes
from tunekit.planner.pace import pace
from tunekit.planner.plan import Plan, Trust
from tunekit.planner.reasons import decisions_of
from tunekit.planner.resolve import Resolved, resolve
from tunekit.planner.steps import expected_steps
from tunekit.planner.verdict import explain_verdict
from tunekit.recipe.data_length import read_lengths
from tunekit.recipe.loading import origin_of
from tunekit.recipe.origin import Origin
from tunekit.recipe.schema import Recipe


def make_plan(
    recipe: Recipe, shape: ModelShape, hardware: Hardware, *, trust: Trust = "both", origin: Origin | None = None
) -> Plan:
    """The whole plan; a rejected one is returned like any other.

    `origin` is what the recipe was made of: fixes are typed behind it. Without it, behind the recipe itself.
    Raises RecipeError for combinations that cannot work here, UsageError for an unknown `trust`.
    """
    check_trust(trust)
    found = resolve(recipe, shape, hardware, trust)
    plan = plan_of(found)
    if plan.verdict == "fits":
        return plan
    return replace(plan, fixes=find_fixes(found, origin or origin_of(recipe)))


def check_trust(trust: str) -> None:
    """Raise UsageError when `trust` names no judge."""
    allowed = get_args(Trust)
    if trust not in allowed:
        raise UsageError(f"--trust {trust}: there is no such judge; allowed: {', '.join(allowed)}.")


def plan_of(found: Resolved) -> Plan:
    """The plan of a job that was found, without fixes."""
    settled, trial, trust = found.settled, found.trial, found.trust
    lengths = read_lengths(settled.recipe.data, settled.shape.vocab_size)
    return Plan(
        verdict=trial.judgement.verdict,
        reason=explain_verdict(trial.judgement, trial.memory, trial.table, trust),
        trust=trust,
        recipe=settled.recipe,
        job=trial.job,
        model_shape=settled.shape,
        num_trainable_parameters=settled.num_trainable,
        hardware=settled.hardware,
        memory=trial.memory,
        table=trial.table,
        decisions=decisions_of(found),
        speed=pace(settled.recipe, trial.job, settled.shape, settled.hardware),
        warnings=warnings_of(settled, trial, trust),
        expected_steps=expected_steps(settled.recipe, trial.job, lengths),
    )
