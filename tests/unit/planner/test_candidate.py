from __future__ import annotations

import pytest
from planning import LLAMA_8B, machine, recipe_for, resolved

from tunekit.planner.candidate import candidate_of, steps_for
from tunekit.planner.explore import explore


def test_a_candidate_has_the_bytes_and_the_speed_of_what_was_found() -> None:
    explored = explore((resolved(recipe_for(LLAMA_8B, "lora")).settled,))
    found = explored.frontier[0]
    candidate = candidate_of(found, explored, machine(), 5_000_000)
    assert candidate.on_frontier
    assert candidate.device.expected_bytes == found.memory.device.expected_bytes
    assert candidate.host.usable_bytes == machine().host.usable_ram_bytes
    assert candidate.seconds_per_token == pytest.approx(1 / found.speed.tokens_per_second.expected)
    assert candidate.run.steps == steps_for(5_000_000, found.speed)


def test_steps_are_those_that_learn_from_the_tokens_without_padding() -> None:
    speed = explore((resolved(recipe_for(LLAMA_8B, "lora")).settled,)).fitting[0].speed
    each = speed.tokens_per_step
    assert steps_for(round(10 * each), speed) in (10, 11)
    assert steps_for(1, speed) == 1
