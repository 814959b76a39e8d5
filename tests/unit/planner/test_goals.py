from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from planning import LLAMA_8B
from searching import searched

from tunekit.planner.goals import expense, plain_expense, ranked, runner_up, why_not
from tunekit.planner.quality import WORTH
from tunekit.planner.search_result import Candidate
from tunekit.speed.terms import Band


def best() -> Candidate:
    found = searched(LLAMA_8B, "lora").recommended
    assert found is not None
    return found


def slower(candidate: Candidate, times: float, **changes: Any) -> Candidate:
    """The same plan at a fraction of its speed."""
    speed, run = candidate.speed, candidate.run
    rate = Band(**{name: getattr(speed.tokens_per_second, name) / times for name in ("low", "expected", "high")})
    kwh = Band(**{name: getattr(run.kwh, name) * times for name in ("low", "expected", "high")})
    return replace(candidate, speed=replace(speed, tokens_per_second=rate), run=replace(run, kwh=kwh), **changes)


def test_the_fastest_comes_first_for_speed_and_the_emptiest_for_memory() -> None:
    fast = best()
    tight = replace(fast, device=replace(fast.device, high_bytes=fast.device.usable_bytes))
    slow = slower(fast, 2)
    assert ranked([slow, fast], "speed")[0] == fast
    assert ranked([slow, fast], "cost")[0] == fast
    assert ranked([tight, slow], "memory")[0] == slow


@pytest.mark.parametrize("goal", ["speed", "cost"])
def test_what_gives_something_up_must_be_better_by_its_worth(goal: Any) -> None:
    fast = best()
    exact = replace(fast, losses=())
    worth = slower(exact, WORTH * 1.01), fast
    not_worth = slower(exact, WORTH * 0.99), fast
    assert ranked(worth, goal)[0] == fast
    assert ranked(not_worth, goal)[0] == not_worth[0]
    assert expense(fast, goal) == pytest.approx(WORTH * plain_expense(fast, goal))


def test_what_wears_the_drive_costs_more_energy_than_it_draws() -> None:
    fast = best()
    worn = replace(fast, run=replace(fast.run, nvme_life=0.5, nvme_kwh=500.0))
    assert plain_expense(worn, "cost") == pytest.approx(plain_expense(fast, "cost") + 500.0)


def test_of_those_that_are_as_good_the_one_that_needs_less_is_taken() -> None:
    fast = best()
    less = replace(fast.device, expected_bytes=fast.device.expected_bytes - 1)
    smaller = slower(replace(fast, device=less), 1.004)
    assert ranked([fast, slower(smaller, 1.01)], "speed")[0] == fast
    assert ranked([fast, smaller], "speed")[0] == smaller


def test_the_runner_up_lays_the_states_elsewhere() -> None:
    fast = best()
    twin = slower(fast, 1.01, micro_batch_size=fast.micro_batch_size * 2)
    other = slower(fast, 1.5, zero=replace(fast.zero, stage=3))
    assert runner_up([fast, twin, other]) == other
    assert runner_up([fast, twin]) is None


def test_a_slower_plan_is_told_with_the_cost_that_grew_most() -> None:
    fast = best()
    sharded = next(each for each in searched(LLAMA_8B, "lora").frontier if each.zero.stage == 3)
    told = why_not(fast, sharded, "speed")
    ratio = sharded.seconds_per_token / fast.seconds_per_token
    assert f"{ratio:.1f} times as long" in told or f"{ratio - 1:.0%} longer" in told
    assert told.rpartition(" of it for ")[2] in {term.name for term in sharded.speed.terms}


def test_most_is_said_of_more_than_half_of_what_grew() -> None:
    fast = best()
    first, second, *rest = fast.speed.terms
    tokens = fast.speed.tokens_per_step

    def with_more(one: float, two: float) -> Candidate:
        grown = [replace(first, seconds=first.seconds + one), replace(second, seconds=second.seconds + two), *rest]
        speed = replace(fast.speed, terms=tuple(grown))
        return slower(replace(fast, speed=speed), 1.5)

    assert fast.speed.tokens_per_step == tokens
    assert why_not(fast, with_more(3.0, 1.0), "speed").endswith(f"50% longer, most of it for {first.name}")
    shared = replace(with_more(4.0, 3.0))
    third = replace(rest[0], seconds=rest[0].seconds + 3.0)
    shared = replace(shared, speed=replace(shared.speed, terms=(*shared.speed.terms[:2], third, *rest[1:])))
    assert why_not(fast, shared, "speed").endswith(f"the largest part of it for {first.name}")


def test_of_plans_as_good_as_each_other_no_loss_is_made_up() -> None:
    fast = best()
    more = replace(fast.device, expected_bytes=fast.device.expected_bytes + 3 * 2**30)
    told = why_not(fast, slower(replace(fast, device=more), 0.998), "speed")
    assert told == "it is no faster (to half a percent) and needs 3.0 GiB more of every GPU"
    assert why_not(fast, slower(fast, 1.001), "cost") == "it is no cheaper (to half a percent)"


def test_a_faster_plan_that_gives_more_up_is_told_so() -> None:
    fast = best()
    exact = slower(replace(fast, losses=()), 1.2)
    told = why_not(exact, fast, "speed")
    assert told.startswith("it is 1.20 times as fast, but it gives up more (adapters: trains an adapter")


def test_for_memory_the_fullest_places_are_told() -> None:
    fast = best()
    fuller = replace(fast, device=replace(fast.device, high_bytes=fast.device.usable_bytes))
    assert "100% full instead of" in why_not(fast, fuller, "memory")
