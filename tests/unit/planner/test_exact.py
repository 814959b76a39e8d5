from __future__ import annotations

from dataclasses import replace

import pytest
from planning import CODELLAMA_34B, LLAMA_7B, LLAMA_8B, SMOLLM, machine, recipe_for, resolved
from searching import open_recipe, searched

from tunekit.planner.exact import choices, faster_place, search_exactly
from tunekit.planner.explore import explore_for_sure
from tunekit.planner.space import with_optimizers


@pytest.mark.parametrize("kind", ["full", "lora"])
@pytest.mark.parametrize("model", [LLAMA_8B, SMOLLM])
def test_an_open_recipe_is_planned_as_fit_recommends(model: str, kind: str) -> None:
    best = searched(model, kind).recommended
    taken = resolved(open_recipe(model, kind)).trial.job
    assert best is not None
    assert taken.zero == best.zero
    assert (taken.batch.micro_batch_size, taken.packing) == (best.micro_batch_size, best.packing)
    assert (taken.activation_checkpointing, taken.optimizer) == (best.activation_checkpointing, best.optimizer)


def test_nothing_that_fits_and_gives_up_as_little_is_faster() -> None:
    settled = resolved(recipe_for(LLAMA_8B, "lora")).settled
    found = search_exactly(settled, "both")
    assert found is not None
    assert found.best is not None
    rates = [each.speed.tokens_per_second.expected for each in found.fitting if each.losses <= found.best.losses]
    assert found.best.speed.tokens_per_second.expected * 1.02 >= max(rates)


def test_what_is_written_is_kept() -> None:
    keys = {"zero__preset": "z3", "train__micro_batch_size": 2, "data__packing": True, "train__optimizer": "adamw"}
    job = resolved(recipe_for(LLAMA_8B, "lora", **keys)).trial.job
    assert (job.zero.preset, job.batch.micro_batch_size, job.packing, job.optimizer) == ("z3", 2, True, "adamw")


def test_twins_differ_from_the_best_in_one_choice() -> None:
    found = search_exactly(resolved(recipe_for(SMOLLM, "lora")).settled, "both")
    assert found is not None
    mine = choices(found.taken.job)
    for name in ("micro", "packing", "checkpointing"):
        twins = list(found.twins(name))
        assert twins, name
        for twin in twins:
            assert {key for key, value in choices(twin.job).items() if value != mine[key]} == {name}


def test_where_nothing_fits_what_comes_nearest_is_taken() -> None:
    settled = resolved(recipe_for(CODELLAMA_34B, "full")).settled
    found = search_exactly(settled, "both")
    explored = explore_for_sure(with_optimizers(settled), "both")
    assert found is not None
    assert found.best is None
    assert explored.nearest is not None
    assert found.taken.job == explored.nearest.job


def test_a_faster_place_gives_up_no_more_than_the_recipe_does() -> None:
    sharded = resolved(recipe_for(LLAMA_8B, "lora", zero__preset="z3"))
    place = faster_place(sharded.settled, sharded.trial, "both")
    assert place is not None
    assert place.job.zero.stage < 3
    roomy = machine(usable_ram_bytes=400 * 2**30)
    exact = resolved(recipe_for(LLAMA_7B, "full", zero__preset="z3_offload", train__optimizer="adamw"), roomy)
    place = faster_place(exact.settled, exact.trial, "both")
    assert place is not None
    assert place.losses == frozenset()


def test_a_plan_that_breaks_a_rule_has_no_faster_place() -> None:
    found = resolved(recipe_for(SMOLLM, "lora", zero__preset="z2"))
    broken = replace(found.trial, problems=("a fault",))  # type: ignore[arg-type]
    assert faster_place(found.settled, broken, "both") is None
