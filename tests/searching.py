"""Short words for tests of the search: small spaces, a plain brute force, searches that are made once."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from typing import Any

from planning import machine, recipe_for, shape_of

from tunekit.hardware.spec import Hardware
from tunekit.planner.fit import find_plans
from tunekit.planner.search import Settled, Trial, make_job, try_job
from tunekit.planner.search_result import Goal, SearchResult
from tunekit.planner.space import passes, settled_for, sites
from tunekit.planner.zero import build_zero
from tunekit.recipe.schema import Recipe


def open_recipe(model: str, kind: str | None, **keys: Any) -> Recipe:
    """A recipe that leaves everything open but what is named."""
    recipe = recipe_for(model, kind or "lora", **keys)
    if kind:
        return recipe
    values = recipe.model_dump(exclude_unset=True)
    del values["method"]["kind"]
    return Recipe.model_validate(values)


@cache
def searched(model: str, kind: str | None = None, goal: Goal = "speed", box: str = "dual_rtx4090") -> SearchResult:
    """A search of a shipped machine."""
    return find_plans(open_recipe(model, kind), shape_of(model), machine(box), goal=goal)


def spaces(model: str, kind: str, hardware: Hardware | None = None, **keys: Any) -> tuple[Settled, ...]:
    """What is searched for one method."""
    return tuple(settled_for(open_recipe(model, kind, **keys), shape_of(model), hardware or machine()))


def brute_force(settled: Settled) -> Iterator[Trial]:
    """Every plan of a space, weighed without any thought."""
    for site in sites(settled):
        for pin in (True, False) if site.rung.offloads else (False,):
            zero, sizes = build_zero(site.rung, settled.placement, pin_memory=pin, offload_ratio=site.ratio)
            for each in passes(settled):
                job = make_job(settled, zero, each.micro, checkpointing=each.checkpointing, packing=each.packing)
                yield try_job(settled, site.rung, job, sizes, "both")
