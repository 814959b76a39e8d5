from __future__ import annotations

import pytest
from planning import CODELLAMA_34B, LLAMA_7B, LLAMA_8B, SMOLLM
from searching import brute_force, spaces

from tunekit.planner.explore import NEAR, Weighed, explore
from tunekit.planner.quality import losses_of
from tunekit.planner.search import Trial
from tunekit.speed.estimate import estimate_speed

CASES = [(LLAMA_8B, "lora"), (LLAMA_7B, "qlora"), (CODELLAMA_34B, "qlora"), (LLAMA_8B, "full"), (SMOLLM, "full")]


def _speed(trial: Trial, model: str) -> float:
    from planning import machine, shape_of

    found = estimate_speed(trial.job, shape_of(model), machine())
    assert found is not None
    return found.tokens_per_second.expected


@pytest.mark.parametrize(("model", "kind"), CASES)
def test_no_plan_of_the_whole_space_beats_the_frontier(model: str, kind: str) -> None:
    """Exactness: every plan that fits has one on the frontier that is as fast, as small and as exact, or nearly."""
    for settled in spaces(model, kind):
        found = explore([settled])
        for trial in brute_force(settled):
            if trial.fits:
                assert any(_as_good(kept, trial, model) for kept in found.frontier), trial.job


def _as_good(kept: Weighed, trial: Trial, model: str) -> bool:
    """Within the share that counts as the same, for what was not seen through a plan between the two: twice."""
    memory = trial.memory
    slack = 2 * NEAR
    return (
        kept.device_bytes <= memory.device.expected_bytes + slack * memory.device.usable_bytes
        and kept.host_bytes <= memory.host.expected_bytes + slack * memory.host.usable_bytes
        and kept.point.speed.tokens_per_second.expected >= (1 - slack) * _speed(trial, model)
        and kept.point.losses <= losses_of(trial.job)
    )


@pytest.mark.parametrize(("model", "kind"), CASES)
def test_what_was_not_weighed_is_decided_rightly(model: str, kind: str) -> None:
    for settled in spaces(model, kind):
        found = explore([settled])
        assert found.weighed < found.plans
        assert all(each.trial.fits for each in found.fitting)
        assert bool(found.frontier) == any(trial.fits for trial in brute_force(settled))


def test_the_frontier_holds_no_plan_that_another_beats_in_everything() -> None:
    frontier = explore(spaces(LLAMA_8B, "lora")).frontier
    for one in frontier:
        for other in frontier:
            if one is not other:
                assert not (
                    other.point.speed.tokens_per_second.expected >= one.point.speed.tokens_per_second.expected
                    and other.device_bytes <= one.device_bytes
                    and other.host_bytes <= one.host_bytes
                    and other.point.losses <= one.point.losses
                )


def test_where_nothing_fits_the_nearest_is_told() -> None:
    found = explore(spaces("meta-llama/Llama-2-70b-hf", "full"))
    assert found.frontier == ()
    assert found.nearest is not None
    assert found.nearest.judgement.verdict == "rejected"


def test_a_spaces_plans_are_all_counted() -> None:
    (settled,) = spaces(SMOLLM, "lora", train__optimizer="adamw", zero__preset="z2", train__micro_batch_size=1)
    assert explore([settled]).plans == 4
