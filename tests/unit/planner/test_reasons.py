from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from planning import CODELLAMA_34B, LLAMA_8B, SMOLLM, climbed, laptop, machine, recipe_for, resolved, shape_of

from tunekit.planner.plan import Decision
from tunekit.planner.reasons import decisions_of, place_name
from tunekit.planner.resolve import resolve
from tunekit.recipe.job import Job
from tunekit.recipe.keys import all_keys


def decided(key: str, kind: str, model: str = LLAMA_8B, **keys: Any) -> Decision:
    (found,) = (each for each in decisions_of(resolved(recipe_for(model, kind, **keys))) if each.key == key)
    return found


def test_every_open_value_is_decided_with_a_reason() -> None:
    found = resolve(recipe_for(LLAMA_8B, "lora"), shape_of(LLAMA_8B), machine())
    job, decisions = found.trial.job, decisions_of(found)
    keys = [decision.key for decision in decisions]
    auto = {key.path for key in all_keys().values() if key.auto}
    assert set(keys) <= auto | {"method.target_modules"}
    for key in (
        "method.rank",
        "zero.preset",
        "train.micro_batch_size",
        "train.learning_rate",
        "train.loss",
        "data.packing",
    ):
        assert key in keys
    assert all(decision.reason for decision in decisions)
    assert job.batch.global_batch_size == 16


def test_decisions_stand_in_the_order_of_the_recipe_and_once_each() -> None:
    keys = [decision.key for decision in decisions_of(resolved(recipe_for(LLAMA_8B, "full")))]
    order = list(all_keys())
    assert keys == sorted(set(keys), key=order.index)


def test_what_is_written_is_not_decided() -> None:
    written = {
        "zero__preset": "z2",
        "train__micro_batch_size": 1,
        "train__global_batch_size": 16,
        "train__activation_checkpointing": True,
        "train__loss": "chunked",
        "method__rank": 8,
    }
    keys = {decision.key for decision in decisions_of(resolved(recipe_for(LLAMA_8B, "lora", **written)))}
    assert not keys & {key.replace("__", ".") for key in written}


def test_decisions_hold_the_values_of_the_job() -> None:
    found = resolved(recipe_for(LLAMA_8B, "qlora"))
    values = {decision.key: decision.value for decision in decisions_of(found)}
    job = found.trial.job
    assert values["zero.preset"] == job.zero.preset
    assert values["train.micro_batch_size"] == str(job.batch.micro_batch_size)
    assert values["train.learning_rate"] == "2e-4"
    by_hand = resolved(recipe_for(LLAMA_8B, "qlora", zero__preset="z2"))
    values = {decision.key: decision.value for decision in decisions_of(by_hand)}
    assert values["zero.reduce_bucket_size"] == str(by_hand.trial.job.zero.reduce_bucket_size)


def test_the_rungs_passed_over_are_shown_with_their_bytes() -> None:
    decisions = decisions_of(resolved(recipe_for(CODELLAMA_34B, "lora")))
    (preset,) = (decision for decision in decisions if decision.key == "zero.preset")
    assert [text.partition(":")[0] for text in preset.rejected][-2:] == ["z2", "z3"]
    assert all("GiB" in text for text in preset.rejected[-2:])


def test_what_did_not_fit_is_the_reason_for_recomputation() -> None:
    decisions = decisions_of(resolved(recipe_for(CODELLAMA_34B, "qlora")))
    (checkpointing,) = (each for each in decisions if each.key == "train.activation_checkpointing")
    assert checkpointing.value == "true"
    assert "GiB of 23.5 GiB" in checkpointing.reason


@pytest.mark.parametrize("kind", ["full", "lora", "qlora"])
@pytest.mark.parametrize("box", ["dual_rtx4090", "single_rtx4090", "8x_h100_80gb"])
def test_nothing_that_was_searched_stays_without_a_decision(kind: str, box: str) -> None:
    found = resolved(recipe_for(LLAMA_8B, kind), machine(box))
    keys = {decision.key for decision in decisions_of(found)}
    for key in ("data.packing", "train.micro_batch_size", "train.optimizer", "train.activation_checkpointing"):
        assert key in keys
    assert keys & {"zero.preset", "zero.stage"}


def test_a_placement_that_no_preset_has_is_decided_key_by_key() -> None:
    decisions = {each.key: each for each in decisions_of(resolved(recipe_for(LLAMA_8B, "full")))}
    assert "zero.preset" not in decisions
    zero = resolved(recipe_for(LLAMA_8B, "full")).trial.job.zero
    assert decisions["zero.stage"].value == str(zero.stage)
    assert decisions["zero.offload_optimizer"].value == zero.offload_optimizer == "cpu"
    assert decisions["zero.bf16_states"].value == "true"
    assert "RAM" in decisions["zero.stage"].reason


def test_the_next_best_place_is_rejected_with_its_price() -> None:
    text = " ".join(decided("zero.preset", "lora").rejected)
    assert "longer" in text or "no faster" in text


def test_a_size_that_fits_is_rejected_by_its_speed_and_one_that_does_not_by_its_bytes() -> None:
    padded = decided("train.micro_batch_size", "qlora", CODELLAMA_34B)
    assert "fewer tokens/s" in padded.reason or "GiB" in padded.reason
    large = {"train__max_seq_length": 8192, "data__packing": True, "train__activation_checkpointing": True}
    assert "GiB of 23.5 GiB" in decided("train.micro_batch_size", "lora", **large).reason


def test_packing_says_what_the_other_way_costs() -> None:
    found = decided("data.packing", "qlora", CODELLAMA_34B)
    assert found.value == "true"
    assert found.reason.startswith("with padded rows ")


def test_an_optimizer_that_the_search_chose_is_explained() -> None:
    found = resolve(recipe_for(LLAMA_8B, "full"), shape_of(LLAMA_8B), machine("a100_80gb"))
    (optimizer,) = (each for each in decisions_of(found) if each.key == "train.optimizer")
    assert optimizer.value == found.trial.job.optimizer
    if optimizer.value == "adamw_8bit":
        assert "with adamw" in optimizer.reason


def test_without_cards_the_reasons_are_those_of_the_ladder() -> None:
    decisions = {each.key: each for each in decisions_of(resolved(recipe_for(SMOLLM), laptop()))}
    assert decisions["train.micro_batch_size"].reason.startswith("a CPU is busy with one row")
    by_ladder = {each.key: each for each in decisions_of(climbed(recipe_for(SMOLLM)))}
    assert "GPU" in by_ladder["train.micro_batch_size"].reason or "shares" in by_ladder["train.micro_batch_size"].reason


def test_a_place_is_named_by_its_preset_or_by_its_keys() -> None:
    def placed(**keys: Any) -> Job:
        return resolve(recipe_for(LLAMA_8B, "lora", **keys), shape_of(LLAMA_8B), machine()).trial.job

    preset = placed(zero__preset="z3")
    assert place_name(preset) == "z3"
    written = placed(zero__stage=3, zero__offload_param="cpu", zero__offload_optimizer="cpu")
    assert place_name(written) in ("z3_offload", "stage=3 offload_optimizer=cpu offload_param=cpu")
    alone = placed(zero__stage=1, zero__offload_optimizer="cpu")
    assert place_name(alone) == "stage=1 offload_optimizer=cpu"


def test_other_places_that_no_preset_has_are_not_all_called_by_the_stage() -> None:
    quad = replace(machine(), gpus=machine().gpus * 2)
    recipe = recipe_for("mistralai/Mistral-7B-Instruct-v0.3", "full", train__max_seq_length=8192)
    found = resolve(recipe, shape_of("mistralai/Mistral-7B-Instruct-v0.3"), quad)
    (zero,) = [each for each in decisions_of(found) if each.key in ("zero.preset", "zero.stage")]
    names = [text.partition(":")[0] for text in zero.rejected]
    assert len(names) == len(set(names))
