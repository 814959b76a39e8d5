from __future__ import annotations

import re
from dataclasses import replace

from planning import CODELLAMA_34B, LLAMA_7B, LLAMA_8B, climbed, laptop, machine, recipe_for

from tunekit.planner.batch import BatchWish
from tunekit.planner.search import relaxed, shortfall
from tunekit.units import GIB


def test_what_fits_whole_is_not_sharded() -> None:
    found = climbed(recipe_for(LLAMA_8B, "lora"))
    assert (found.trial.job.zero.preset, found.trial.judgement.verdict) == ("z2", "fits")
    assert found.outcome.passed_over == ()


def test_the_ladder_is_climbed_until_something_fits() -> None:
    found = climbed(recipe_for(CODELLAMA_34B, "lora"))
    assert found.trial.job.zero.preset == "z3_offload_param"
    assert [trial.rung.preset for trial in found.outcome.passed_over] == ["z2", "z3"]
    assert all(trial.judgement.verdict != "fits" for trial in found.outcome.passed_over)


def test_when_nothing_fits_the_nearest_miss_is_taken() -> None:
    found = climbed(recipe_for(CODELLAMA_34B, "full"))
    assert found.trial.judgement.verdict == "rejected"
    allowed = [trial for trial in found.outcome.passed_over if not trial.problems]
    assert all(found.trial.judgement.overshoot <= trial.judgement.overshoot for trial in allowed)


def test_a_rung_that_breaks_a_rule_is_passed_over() -> None:
    found = climbed(recipe_for(LLAMA_7B, "full", train__optimizer="adamw_8bit"))
    assert found.trial.job.zero.offload_optimizer == "none"
    broken = [trial for trial in found.outcome.passed_over if trial.problems]
    assert broken
    assert "adamw_8bit" in shortfall(broken[0])


def test_a_small_model_keeps_its_activations_and_fills_the_card() -> None:
    job = climbed(recipe_for(kind="lora")).trial.job
    assert not job.activation_checkpointing
    assert job.batch.micro_batch_size == 8


def test_the_chosen_micro_batch_is_the_largest_that_fits() -> None:
    keys = {"train__activation_checkpointing": True, "zero__preset": "z2", "train__max_seq_length": 4096}
    found = climbed(recipe_for(LLAMA_8B, "lora", **keys))
    micro = found.trial.job.batch.micro_batch_size
    assert found.trial.judgement.verdict == "fits"
    assert micro < 8
    assert {trial.job.batch.micro_batch_size for trial in found.outcome.too_large} == {8, 4, 2, 1} - {
        size for size in (8, 4, 2, 1) if size <= micro
    }
    doubled = recipe_for(LLAMA_8B, "lora", **keys, train__micro_batch_size=2 * micro)
    assert climbed(doubled).trial.judgement.verdict != "fits"


def test_written_values_are_never_changed_to_make_it_fit() -> None:
    keys = {"train__micro_batch_size": 4, "train__activation_checkpointing": False, "zero__preset": "z2"}
    job = climbed(recipe_for(LLAMA_8B, "lora", **keys)).trial.job
    assert (job.batch.micro_batch_size, job.activation_checkpointing, job.zero.preset) == (4, False, "z2")


def test_a_cpu_gets_one_row_at_a_time() -> None:
    assert climbed(recipe_for(), laptop()).trial.job.batch.micro_batch_size == 1


def test_page_locking_is_given_up_before_the_plan_is() -> None:
    tight_ram = machine(usable_ram_bytes=81 * GIB)
    found = climbed(recipe_for(CODELLAMA_34B, "lora", zero__preset="z3_offload_param"), tight_ram)
    assert found.trial.job.zero.pin_memory is False
    roomy = climbed(
        recipe_for(CODELLAMA_34B, "lora", zero__preset="z3_offload_param"), machine(usable_ram_bytes=400 * GIB)
    )
    assert roomy.trial.job.zero.pin_memory is True


def test_partial_offload_moves_the_smallest_share_that_fits() -> None:
    roomy = machine(usable_ram_bytes=400 * GIB)
    found = climbed(recipe_for(LLAMA_7B, "full", zero__preset="z3_offload_ratio"), roomy)
    ratio = found.trial.job.zero.offload_ratio
    assert 0 < ratio < 1
    less = recipe_for(LLAMA_7B, "full", zero__preset="z3_offload_ratio", zero__offload_ratio=round(ratio - 0.2, 1))
    assert climbed(less, roomy).trial.judgement.verdict != "fits"


def test_a_shortfall_names_place_and_bytes() -> None:
    passed_over = climbed(recipe_for(CODELLAMA_34B, "lora")).outcome.passed_over[0]
    assert re.fullmatch(r"(GPU|host RAM) needs [0-9.]+ GiB of [0-9.]+ GiB", shortfall(passed_over))


def test_a_relaxed_wish_keeps_the_micro_batch_only() -> None:
    wish = BatchWish(micro=2, accumulation=3, total=16, world_size=2)
    assert relaxed(wish) == replace(wish, accumulation=None, total=None)
