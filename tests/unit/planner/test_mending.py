from __future__ import annotations

from dataclasses import replace

import pytest

from tests.planning import LLAMA_8B, SMOLLM, laptop, machine, recipe_for, shape_of
from tunekit.errors import RecipeError
from tunekit.planner.make import make_plan
from tunekit.planner.mending import MARGIN, Seen, evidence_factor, find_mends, mended_recipe, shrunk
from tunekit.planner.resolve import resolve
from tunekit.units import GIB

KEPT = ("train.micro_batch_size", "train.gradient_accumulation_steps", "train.activation_checkpointing", "train.loss")
LORA = {"zero__preset": "z2", "train__max_seq_length": 2048, "train__global_batch_size": 64}


@pytest.fixture(scope="module")
def plan():
    """LoRA of 8B with eight rows a pass: it fits, with room."""
    recipe = recipe_for(LLAMA_8B, **LORA, train__micro_batch_size=2, train__activation_checkpointing=True)
    return make_plan(recipe, shape_of(LLAMA_8B), machine())


def test_every_mend_is_planned_again_and_fits_by_what_failed(plan):
    seen = Seen(place="device", bytes=plan.memory.device.usable_bytes + GIB)
    mends = find_mends(plan, seen)
    assert mends
    for mend in mends:
        again = make_plan(mended_recipe(plan, mend.overrides), plan.model_shape, plan.hardware)
        assert again.verdict != "rejected"
        assert again.memory.device.expected_bytes == mend.planned_bytes < plan.memory.device.expected_bytes
        assert mend.failed_bytes == plan.memory.device.expected_bytes
        assert mend.planned_bytes < mend.measured_bytes <= mend.usable_bytes
        assert mend.tokens_per_second
        assert str(mend).startswith(f"{mend.set} (GPU ")
        assert " by what was measured) planned instead of " in str(mend)


def test_the_more_was_seen_the_more_a_mend_must_save(plan):
    usable = plan.memory.device.usable_bytes
    little = find_mends(plan, Seen(place="device", bytes=usable))
    much = find_mends(plan, Seen(place="device", bytes=usable + 12 * GIB))
    assert little
    assert much
    assert min(m.planned_bytes for m in much) < min(m.planned_bytes for m in little)


def test_the_failed_plan_never_fits_its_own_evidence(plan):
    first = resolve(mended_recipe(plan), plan.model_shape, plan.hardware, plan.trust)
    for seen in (0, GIB, 40 * GIB):
        factor = evidence_factor(first, Seen(place="device", bytes=seen))
        assert factor >= MARGIN * first.trial.memory.device.usable_bytes / first.trial.memory.device.expected_bytes
        assert factor >= seen / first.trial.memory.device.expected_bytes
        hardware = shrunk(plan.hardware, "device", factor)
        again = resolve(mended_recipe(plan), plan.model_shape, hardware, "model")
        assert again.trial.judgement.verdict == "rejected"


def test_with_keys_nothing_else_is_changed_and_the_global_batch_stays(plan):
    mends = find_mends(plan, Seen(place="device"), keys=KEPT)
    assert mends
    assert len({frozenset(mend.overrides) for mend in mends}) == len(mends)
    for mend in mends:
        assert {word.partition("=")[0] for word in mend.overrides} <= set(KEPT)
        recipe = mended_recipe(plan, mend.overrides)
        again = make_plan(recipe, plan.model_shape, plan.hardware)
        assert again.job.batch.global_batch_size == plan.job.batch.global_batch_size
        assert again.job.max_seq_length == plan.job.max_seq_length


def test_several_changes_are_joined_where_one_is_not_enough():
    recipe = recipe_for(LLAMA_8B, **LORA, train__micro_batch_size=2, train__activation_checkpointing=True)
    hardware = machine()
    wide = replace(hardware, gpus=tuple(replace(gpu, usable_bytes=200 * GIB) for gpu in hardware.gpus))
    recipe = recipe.model_copy(
        update={
            "train": recipe.train.model_copy(
                update={"micro_batch_size": 8, "activation_checkpointing": False, "loss": "full"}
            )
        }
    )
    plan = make_plan(recipe, shape_of(LLAMA_8B), wide, trust="model")
    much = Seen(place="device", bytes=7 * wide.gpus[0].usable_bytes // 2)
    mends = find_mends(plan, much, keys=KEPT)
    assert any(len({word.partition("=")[0] for word in mend.overrides}) > 2 for mend in mends)


def test_without_cards_the_host_is_what_was_full():
    hardware = laptop(usable_ram_bytes=40 * GIB)
    recipe = recipe_for(SMOLLM, train__max_seq_length=2048, train__micro_batch_size=8, train__global_batch_size=16)
    plan = make_plan(recipe, shape_of(SMOLLM), hardware)
    mends = find_mends(plan, Seen(place="device"), keys=KEPT)
    assert mends
    assert {(mend.place, mend.measured_bytes) for mend in mends} == {("host", 0)}
    assert all(mend.tokens_per_second is None for mend in mends)


def test_nothing_is_offered_where_nothing_is_enough(plan):
    assert find_mends(plan, Seen(place="device", bytes=10**15), keys=KEPT) == ()
    assert find_mends(plan, Seen(place="device"), keys=()) == ()


def test_a_recipe_that_cannot_be_is_an_error(plan):
    assert mended_recipe(plan).train.micro_batch_size == 2
    with pytest.raises(RecipeError):
        mended_recipe(plan, ["train.micro_batch_size=many"])
