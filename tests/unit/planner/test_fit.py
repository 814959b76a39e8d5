from __future__ import annotations

from dataclasses import replace

import pytest
from planning import CODELLAMA_34B, LLAMA_8B, SMOLLM, laptop, machine, shape_of
from searching import open_recipe, searched

from tunekit.errors import RecipeError, UsageError
from tunekit.planner.candidate import TOLD_TOKENS, steps_for
from tunekit.planner.fit import find_plans
from tunekit.planner.settings import settings_of
from tunekit.units import GIB

LLAMA_70B = "meta-llama/Llama-2-70b-hf"
QWEN_7B = "Qwen/Qwen2.5-7B-Instruct"


@pytest.mark.parametrize("model", [LLAMA_8B, QWEN_7B])
def test_what_fits_every_card_is_replicated_not_sharded(model: str) -> None:
    best = searched(model, "lora").recommended
    assert best is not None
    assert best.zero.stage < 3
    assert (best.zero.offload_optimizer, best.zero.offload_param) == ("none", "none")
    assert any(each.zero.stage == 3 for each in searched(model, "lora").candidates)


@pytest.mark.parametrize("model", [LLAMA_8B, QWEN_7B, "meta-llama/Llama-2-7b-hf"])
def test_seven_and_eight_billion_fit_96_gb_with_bf16_states_and_not_with_fp32_ones(model: str) -> None:
    found = searched(model, "full")
    assert found.candidates
    assert {each.zero.bf16_states for each in found.candidates} == {True}
    assert {each.zero.offload_optimizer for each in found.candidates} == {"cpu"}


def test_34b_with_a_4_bit_base_is_shared_by_both_cards() -> None:
    found = searched(CODELLAMA_34B, "qlora")
    assert found.recommended is not None
    assert {each.zero.stage for each in found.candidates} == {3}


@pytest.mark.parametrize("model", [LLAMA_8B, CODELLAMA_34B])
def test_a_4_bit_base_that_fits_is_not_offloaded(model: str) -> None:
    best = searched(model, "qlora").recommended
    assert best is not None
    assert (best.zero.offload_optimizer, best.zero.offload_param) == ("none", "none")


def test_70b_with_a_16_bit_base_is_impossible_and_what_would_help_is_said() -> None:
    found = searched(LLAMA_70B, "lora")
    assert found.recommended is None
    assert found.candidates == ()
    assert "host RAM needs" in found.reason
    assert any(fix.verdict != "rejected" for fix in found.fixes)


def test_the_method_is_searched_too_where_nobody_names_it() -> None:
    assert {each.method for each in searched(LLAMA_8B).candidates} == {"full", "lora", "qlora"}


@pytest.mark.parametrize("kind", ["full", "lora", "qlora"])
def test_the_plan_of_the_recommended_settings_is_the_one_that_was_found(kind: str) -> None:
    found = searched(LLAMA_8B, kind)
    assert found.recommended is not None
    assert found.plan is not None
    assert found.plan.memory.device.expected_bytes == found.recommended.device.expected_bytes
    assert found.plan.memory.host.high_bytes == found.recommended.host.high_bytes
    assert found.plan.job.zero == found.recommended.zero
    assert settings_of(found.plan.job) == found.recommended.settings


def test_hours_are_those_of_the_tokens_asked_for_and_stand_in_the_plan() -> None:
    found = find_plans(open_recipe(LLAMA_8B, "lora"), shape_of(LLAMA_8B), machine(), tokens=50_000_000)
    best = found.recommended
    assert best is not None
    assert found.plan is not None
    assert found.plan.speed is not None
    assert found.plan.speed.run == best.run
    assert best.run.steps == steps_for(50_000_000, best.speed)
    assert best.run.hours.expected == pytest.approx(50_000_000 * best.seconds_per_token / 3600, rel=0.01)


def test_a_run_is_as_long_as_its_stated_steps() -> None:
    found = find_plans(open_recipe(LLAMA_8B, "lora", train__max_steps=50), shape_of(LLAMA_8B), machine())
    best = found.recommended
    assert best is not None
    assert found.plan is not None
    assert found.plan.speed is not None
    assert best.run.steps == 50
    assert found.tokens == 50 * best.speed.tokens_per_step
    assert found.plan.speed.run == best.run


def test_without_tokens_a_million_is_told() -> None:
    found = searched(SMOLLM, "lora")
    assert found.tokens == TOLD_TOKENS
    assert found.plan is not None
    assert found.plan.recipe.train.max_steps is None


def test_what_the_recipe_states_is_kept() -> None:
    keys = {"train__micro_batch_size": 2, "train__activation_checkpointing": True, "zero__preset": "z3"}
    found = find_plans(open_recipe(LLAMA_8B, "lora", **keys), shape_of(LLAMA_8B), machine())
    assert found.candidates
    for each in found.candidates:
        assert (each.micro_batch_size, each.activation_checkpointing, each.zero.preset) == (2, True, "z3")


def test_a_drive_is_used_only_where_a_folder_is_named() -> None:
    assert all(each.zero.offload_optimizer != "nvme" for each in searched(LLAMA_8B, "full").candidates)
    recipe = open_recipe(LLAMA_8B, "full", zero__nvme_path="/mnt/swap")
    found = find_plans(recipe, shape_of(LLAMA_8B), machine())
    swapping = [each for each in found.candidates if each.zero.offload_optimizer == "nvme"]
    assert swapping
    assert all(each.run.nvme_bytes > 0 for each in swapping)


def test_where_nothing_surely_fits_what_fits_tightly_is_recommended() -> None:
    hardware = machine()
    best = searched(LLAMA_8B, "qlora", "memory").recommended
    assert best is not None
    middle = (best.device.expected_bytes + best.device.high_bytes) // 2
    small = replace(hardware, gpus=tuple(replace(gpu, usable_bytes=middle) for gpu in hardware.gpus))
    recipe = open_recipe(LLAMA_8B, "qlora", train__micro_batch_size=1, train__max_seq_length=2048, zero__preset="z2")
    found = find_plans(recipe, shape_of(LLAMA_8B), small)
    if found.recommended is not None:
        assert found.recommended.verdict in ("fits", "tight")


def test_a_machine_without_cards_is_refused_with_what_to_type() -> None:
    with pytest.raises(UsageError, match="--on dual_rtx4090"):
        find_plans(open_recipe(SMOLLM, "lora"), shape_of(SMOLLM), laptop())


def test_what_can_never_work_is_refused_before_the_search() -> None:
    with pytest.raises(RecipeError, match="target_modules"):
        find_plans(open_recipe(SMOLLM, "lora", method__target_modules=["nope"]), shape_of(SMOLLM), machine())


def test_the_goal_decides_among_the_same_plans() -> None:
    fast, small = searched(LLAMA_8B, "lora").recommended, searched(LLAMA_8B, "lora", "memory").recommended
    assert fast is not None
    assert small is not None
    assert small.fullness < fast.fullness
    assert small.seconds_per_token > fast.seconds_per_token


def test_memory_amounts_are_those_of_the_machine() -> None:
    best = searched(LLAMA_8B, "lora").recommended
    assert best is not None
    assert best.device.usable_bytes == machine().gpus[0].usable_bytes
    assert best.device.expected_bytes <= best.device.high_bytes
    assert best.host.usable_bytes > 70 * GIB
