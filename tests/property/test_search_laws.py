"""Laws of the search, over models, methods, goals and machines of a person's choosing."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from planning import machine, shape_of
from searching import open_recipe

from tunekit.hardware.spec import Hardware
from tunekit.planner.fit import find_plans
from tunekit.planner.fit_recipe import recipe_text
from tunekit.planner.goals import SAME, expense
from tunekit.planner.make import make_plan
from tunekit.planner.search_result import Candidate, Goal, SearchResult
from tunekit.recipe.loading import load_text

MODELS = ("Qwen/Qwen2.5-7B-Instruct", "HuggingFaceTB/SmolLM2-135M-Instruct", "codellama/CodeLlama-34b-Instruct-hf")
METHODS = ("full", "lora", "qlora")
GOALS: tuple[Goal, ...] = ("speed", "memory", "cost")
BOXES = ("single_rtx4090", "dual_rtx4090", "dual_rtx3090", "a100_80gb", "quad_rtx4090")
asked = st.tuples(
    st.sampled_from(MODELS), st.sampled_from(METHODS), st.sampled_from(BOXES), st.sampled_from((512, 2048, 8192))
)
few = settings(max_examples=8, deadline=None, derandomize=True)


@cache
def search(model: str, method: str, box: str, length: int, goal: Goal = "speed") -> SearchResult:
    return find(model, method, machine(box), length, goal)


def find(model: str, method: str, hardware: Hardware, length: int, goal: Goal = "speed") -> SearchResult:
    recipe = open_recipe(model, method, train__max_seq_length=length)
    return find_plans(recipe, shape_of(model), hardware, goal=goal)


def roomier(hardware: Hardware, more: float) -> Hardware:
    """The same machine with more usable memory in every place, beside what buckets are sized by."""
    host = replace(hardware.host, usable_ram_bytes=int(more * hardware.host.usable_ram_bytes))
    cards = tuple(replace(gpu, usable_bytes=int(more * gpu.usable_bytes)) for gpu in hardware.gpus)
    return replace(hardware, host=host, gpus=cards)


@few
@given(asked, st.sampled_from((1.05, 1.2)))
def test_more_memory_never_makes_a_fitting_plan_unfit(words: tuple[str, str, str, int], more: float) -> None:
    found = search(*words)
    larger = find(words[0], words[1], roomier(machine(words[2]), more), words[3])
    if found.recommended is not None and found.recommended.verdict == "fits":
        assert larger.recommended is not None
        assert larger.recommended.verdict == "fits"
        assert expense(larger.recommended, "speed") <= expense(found.recommended, "speed") * 1.02
    before = {each.settings for each in found.candidates if each.zero.offload_optimizer == "none"}
    after = {each.settings for each in larger.candidates}
    unlocked = {each for each in before if not any(key == "zero.pin_memory" for key, _ in each)}
    assert unlocked <= after


@few
@given(asked, st.sampled_from((2, 4)))
def test_faster_links_never_make_a_plan_slower(words: tuple[str, str, str, int], times: int) -> None:
    hardware = machine(words[2])
    assert hardware.link is not None
    lanes = min(16, times * hardware.link.pcie_lanes)
    faster = replace(hardware, link=replace(hardware.link, pcie_lanes=lanes, card_lanes=()))
    after = {each.settings: each for each in find(words[0], words[1], faster, words[3]).candidates}
    for each in search(*words).candidates:
        assert after[each.settings].seconds_per_token <= each.seconds_per_token * (1 + 1e-9)


@few
@given(asked, st.sampled_from(GOALS))
def test_the_recommended_plan_is_on_the_frontier_and_the_best_of_it(
    words: tuple[str, str, str, int], goal: Goal
) -> None:
    found = search(*words, goal)
    if found.recommended is None:
        assert found.candidates == ()
        return
    assert found.recommended in found.frontier
    assert all(expense(found.recommended, goal) <= SAME * expense(each, goal) for each in found.frontier)


@few
@given(asked, st.sampled_from(GOALS))
def test_a_written_recipe_plans_to_the_same_numbers(words: tuple[str, str, str, int], goal: Goal) -> None:
    found = search(*words, goal)
    if found.recommended is None:
        return
    again = make_plan(load_text(recipe_text(found)), shape_of(words[0]), machine(words[2]))
    best = found.recommended
    assert again.verdict == best.verdict
    for place, planned in ((best.device, again.memory.device), (best.host, again.memory.host)):
        assert (place.expected_bytes, place.high_bytes) == (planned.expected_bytes, planned.high_bytes)
    assert again.speed is not None
    assert again.speed.tokens_per_second == best.speed.tokens_per_second


@few
@given(asked)
def test_hours_energy_and_speed_agree(words: tuple[str, str, str, int]) -> None:
    found = search(*words)
    for each in found.candidates:
        _agree(each, found.tokens)


def _agree(each: Candidate, tokens: int) -> None:
    run, rate = each.run, each.speed.tokens_per_second
    step = each.speed.tokens_per_step
    assert run.steps * step >= tokens > (run.steps - 1) * step
    assert run.hours.expected == pytest.approx(run.steps * step / rate.expected / 3600)
    assert run.kwh.expected == pytest.approx(run.hours.expected * run.watts / 1000)
    assert run.hours.low <= run.hours.expected <= run.hours.high
    assert run.kwh.low <= run.kwh.expected <= run.kwh.high
