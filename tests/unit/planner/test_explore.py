from __future__ import annotations

from dataclasses import replace
from unittest.mock import patch

import pytest
from planning import CODELLAMA_34B, LLAMA_7B, LLAMA_8B, SMOLLM
from searching import brute_force, spaces

from tunekit.planner import explore as explore_module
from tunekit.planner.explore import NEAR, Found, anything_fits, explore, explore_for_sure
from tunekit.recipe.job import Job

CASES = [(LLAMA_8B, "lora"), (LLAMA_7B, "qlora"), (CODELLAMA_34B, "qlora"), (LLAMA_8B, "full"), (SMOLLM, "full")]


@pytest.mark.parametrize(("model", "kind"), CASES)
def test_the_search_finds_exactly_what_fits_with_the_bytes_of_the_whole_estimate(model: str, kind: str) -> None:
    for settled in spaces(model, kind):
        found = {each.job: each.memory for each in explore([settled]).fitting}
        fitting = {trial.job: trial.memory for trial in brute_force(settled) if trial.fits}
        assert found.keys() <= fitting.keys()
        # Page-locking is decided, not searched.
        locked = {job for job in fitting if job.zero.pin_memory}
        assert {_unlocked(job) for job in found} >= {_unlocked(job) for job in locked}
        for job, memory in found.items():
            whole = fitting[job]
            assert (memory.device, memory.host, memory.disk) == (whole.device, whole.host, whole.disk)


def _unlocked(job: Job) -> Job:
    return replace(job, zero=replace(job.zero, pin_memory=False))


@pytest.mark.parametrize(("model", "kind"), CASES)
def test_whatever_fits_has_one_on_the_frontier_that_is_as_good_or_nearly(model: str, kind: str) -> None:
    found = explore(spaces(model, kind))
    assert found.frontier
    assert all(each in found.fitting for each in found.frontier)
    for each in found.fitting:
        assert any(_as_good(kept, each) for kept in found.frontier), each.job


def _as_good(kept: Found, each: Found) -> bool:
    device, host = each.memory.device, each.memory.host
    return (
        kept.memory.device.expected_bytes <= device.expected_bytes + NEAR * device.usable_bytes
        and kept.memory.host.expected_bytes <= host.expected_bytes + NEAR * host.usable_bytes
        and kept.order <= each.order
        and kept.losses <= each.losses
    )


def test_the_frontier_holds_no_plan_that_another_beats_in_everything() -> None:
    frontier = explore(spaces(LLAMA_8B, "lora")).frontier
    for one in frontier:
        for other in frontier:
            if one is not other:
                assert not (
                    other.speed.tokens_per_second.expected >= one.speed.tokens_per_second.expected
                    and other.memory.device.expected_bytes <= one.memory.device.expected_bytes
                    and other.memory.host.expected_bytes <= one.memory.host.expected_bytes
                    and other.losses <= one.losses
                )


def test_where_nothing_fits_the_nearest_is_told() -> None:
    found = explore(spaces("meta-llama/Llama-2-70b-hf", "full"))
    assert found.frontier == ()
    assert found.nearest is not None
    assert found.nearest.judgement.verdict == "rejected"


def test_a_spaces_plans_are_all_counted() -> None:
    (settled,) = spaces(SMOLLM, "lora", train__optimizer="adamw", zero__preset="z2", train__micro_batch_size=1)
    assert explore([settled]).plans == 4


def test_what_fits_tightly_is_searched_again_only_where_something_does() -> None:
    hopeless = spaces("meta-llama/Llama-2-70b-hf", "full")
    with patch.object(explore_module, "explore", wraps=explore) as searched:
        found = explore_for_sure(hopeless)
    assert searched.call_count == 1
    again = explore(hopeless, enough=("fits", "tight"))
    assert (found.fitting, found.nearest, found.weighed) == (again.fitting, again.nearest, again.weighed)


@pytest.mark.parametrize("kind", ["full", "lora", "qlora"])
@pytest.mark.parametrize("length", [512, 8192, 131072])
@pytest.mark.parametrize("model", [LLAMA_8B, CODELLAMA_34B])
def test_whether_anything_fits_is_what_the_search_says(model: str, kind: str, length: int) -> None:
    every = spaces(model, kind, train__max_seq_length=length)
    assert anything_fits(every) == bool(explore_for_sure(every).fitting)
