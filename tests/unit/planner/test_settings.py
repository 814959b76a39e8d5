from __future__ import annotations

from planning import LLAMA_7B, LLAMA_8B, machine, recipe_for, resolved

from tunekit.planner.change import Change, applied
from tunekit.planner.settings import settings_of, zero_settings
from tunekit.recipe.loading import origin_of
from tunekit.units import GIB


def test_settings_are_what_was_searched_and_give_the_job_again() -> None:
    recipe = recipe_for(LLAMA_8B, "qlora")
    job = resolved(recipe).trial.job
    settings = dict(settings_of(job))
    assert settings["method.kind"] == "qlora"
    assert settings["train.micro_batch_size"] == job.batch.micro_batch_size
    again = applied(origin_of(recipe), Change(settings=settings_of(job), note=""))
    assert again is not None
    assert resolved(again).trial.job == job


def test_a_preset_is_named_and_what_no_preset_has_is_written_out() -> None:
    named = resolved(recipe_for(LLAMA_8B, "lora", zero__preset="z3")).trial.job
    assert zero_settings(named) == [("zero.preset", "z3")]
    keys = {"zero__stage": 1, "zero__bf16_states": True}
    written = dict(zero_settings(resolved(recipe_for(LLAMA_8B, "lora", **keys)).trial.job))
    assert (written["zero.stage"], written["zero.bf16_states"]) == (1, True)
    assert "zero.preset" not in written


def test_share_and_page_locking_are_told_where_something_is_offloaded() -> None:
    roomy = machine(usable_ram_bytes=400 * GIB)
    keys = {"zero__preset": "z3_offload_ratio", "zero__offload_ratio": 0.8}
    settings = dict(zero_settings(resolved(recipe_for(LLAMA_7B, "full", **keys), roomy).trial.job))
    assert settings["zero.offload_ratio"] == 0.8
    assert "zero.pin_memory" in settings
