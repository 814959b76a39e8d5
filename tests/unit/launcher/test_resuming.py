from __future__ import annotations

from dataclasses import replace

import pytest

from tests.plans import make_plan
from tests.runs import write_checkpoint, write_zip
from tunekit.errors import Problem, RecipeError
from tunekit.launcher.checkpoints import Checkpoint, list_checkpoints, states_folder
from tunekit.launcher.resuming import (
    check_same_training,
    how_to_read,
    refuse_changes,
    reopened,
    rows_stay,
    stepping,
    what_is_lost,
)
from tunekit.recipe.keys import all_keys

JOB = make_plan().job


def job(*, stage=2, ranks=2, optimizer="adamw", **zero):
    batch = replace(JOB.batch, world_size=ranks, gradient_accumulation_steps=JOB.batch.world_size * 8 // ranks)
    return replace(JOB, batch=batch, optimizer=optimizer, zero=replace(JOB.zero, stage=stage, **zero))


@pytest.fixture
def sharded(tmp_path) -> Checkpoint:
    """Of two ranks at ZeRO 2."""
    write_checkpoint(tmp_path, 5)
    return list_checkpoints(tmp_path)[0]


@pytest.fixture
def whole(tmp_path) -> Checkpoint:
    """Of two ranks at ZeRO 0."""
    for path in states_folder(write_checkpoint(tmp_path, 5)).glob("*optim*"):
        path.unlink()
    return list_checkpoints(tmp_path)[0]


@pytest.mark.parametrize(
    ("after", "transfer"),
    [
        (job(), None),
        (job(stage=1), None),
        (job(ranks=1), "universal"),
        (job(stage=3), "universal"),
        (job(stage=3, ranks=4), "universal"),
        (job(offload_optimizer="cpu"), "universal"),
        (job(stage=0), "weights"),
        (job(stage=3, offload_optimizer="nvme"), "weights"),
        (job(zenflow=True, offload_optimizer="cpu"), "weights"),
        (job(ranks=1, optimizer="adamw_8bit"), "weights"),
    ],
)
def test_how_a_sharded_checkpoint_is_read(sharded, after, transfer):
    assert how_to_read(sharded, job(), after) == transfer


@pytest.mark.parametrize(
    ("after", "transfer"), [(job(stage=0), None), (job(stage=0, ranks=1), "spread"), (job(), "weights")]
)
def test_how_a_whole_checkpoint_is_read(whole, after, transfer):
    assert how_to_read(whole, job(stage=0), after) == transfer


def test_the_checkpoint_knows_better_than_the_last_plan_how_it_was_written(sharded):
    written = replace(sharded, stepping=stepping(job(offload_optimizer="cpu")))
    assert how_to_read(written, job(), job()) == "universal"
    assert how_to_read(written, job(), job(offload_optimizer="cpu")) is None


def test_weights_of_zero_3_lie_in_parts(tmp_path):
    states = states_folder(write_checkpoint(tmp_path, 5))
    for rank in range(2):
        write_zip(states / f"zero_pp_rank_{rank}_mp_rank_00_model_states.pt")
    (found,) = list_checkpoints(tmp_path)
    assert how_to_read(found, job(stage=3), job(stage=3)) is None
    assert how_to_read(found, job(stage=3), job()) == "universal"


def test_what_is_lost_is_said(sharded):
    assert what_is_lost(None, sharded, job()) == ""
    assert "the optimizer's states too." in what_is_lost("universal", sharded, job(ranks=1))
    assert "rounded to bf16" in what_is_lost("universal", sharded, job(bf16_states=True, offload_optimizer="cpu"))
    text = what_is_lost("weights", sharded, job(stage=0))
    assert text.startswith("saved by 2 processes, read by 2 processes at ZeRO 0: ")
    assert "Lost: the optimizer's states" in text


@pytest.mark.parametrize(
    "change",
    [
        "hardware=local",
        "zero.preset=z3",
        "train.micro_batch_size=2",
        "output.save_steps=5",
        "tracking=[]",
        "nonsense=1",
    ],
)
def test_what_may_change(change):
    refuse_changes([change])


def test_every_other_key_is_refused_with_its_reason():
    for key, reason in {
        "model.path": "weights are this model's",
        "method.rank": "weights of this method",
        "data.path": "the order in which the rest",
        "train.seed": "another order",
        "train.max_steps": "course of the learning rate",
        "output.dir": "its own folder",
    }.items():
        with pytest.raises(RecipeError, match=reason):
            refuse_changes([f"{key}=x"])
    with pytest.raises(RecipeError) as caught:
        refuse_changes(["data.path=a", "train.seed=1"])
    assert len(caught.value.problems) == 2


@pytest.mark.parametrize("key", ["train.max_stepz", "modell", "data.pth"])
def test_a_key_that_there_is_none_of_is_left_to_the_reading_of_the_recipe(key):
    refuse_changes([f"{key}=6"])


def test_whole_sections_and_parts_of_mappings_are_refused_too():
    with pytest.raises(RecipeError, match="weights of this method"):
        refuse_changes(["method={kind: full}"])
    with pytest.raises(RecipeError, match="the order in which the rest"):
        refuse_changes(["data.columns.prompt=q"])


def test_every_key_is_either_open_or_refused():
    refused = 0
    for key in all_keys():
        try:
            refuse_changes([f"{key}=1"])
        except RecipeError:
            refused += 1
    assert 25 < refused < len(all_keys()) - 20


VALUES = {
    "model": {"path": "m"},
    "zero": {"preset": "z2", "reduce_bucket_size": 5, "nvme_path": "/d"},
    "train": {"micro_batch_size": 2, "gradient_accumulation_steps": 4, "global_batch_size": 16},
}


@pytest.mark.parametrize(
    ("change", "train", "zero"),
    [
        ("output.save_steps=1", VALUES["train"], VALUES["zero"]),
        ("hardware=a", {"micro_batch_size": 2, "global_batch_size": 16}, {"preset": "z2", "nvme_path": "/d"}),
        ("train.micro_batch_size=1", {"micro_batch_size": 2, "global_batch_size": 16}, VALUES["zero"]),
        (
            "train.gradient_accumulation_steps=8",
            {"gradient_accumulation_steps": 4, "global_batch_size": 16},
            VALUES["zero"],
        ),
        ("zero.preset=z3", VALUES["train"], {"nvme_path": "/d"}),
    ],
)
def test_answers_that_follow_from_a_change_are_open_again(change, train, zero):
    assert reopened(VALUES, [change]) == {"model": {"path": "m"}, "train": train, "zero": zero}


def test_the_rest_must_be_the_same_training():
    check_same_training(job(), job(ranks=1))
    with pytest.raises(RecipeError, match="train.global_batch_size"):
        check_same_training(job(), replace(job(), batch=replace(JOB.batch, micro_batch_size=64)))
    with pytest.raises(RecipeError, match="max_seq_length"):
        check_same_training(job(), replace(job(), max_seq_length=8))


def test_another_order_of_the_parameters_is_converted(sharded):
    """DeepSpeed would load the one as the other without an error."""
    dealt = replace(sharded, stepping={**stepping(job()), "round_robin": True})
    straight = replace(sharded, stepping={**stepping(job()), "round_robin": False})
    assert how_to_read(dealt, job(), job(), round_robin=True) is None
    assert how_to_read(straight, job(), job(), round_robin=True) == "universal"
    assert how_to_read(dealt, job(), job(), round_robin=False) == "universal"
    assert how_to_read(sharded, job(), job(), round_robin=True) is None


def test_rows_that_cannot_be_shared_out_are_told_with_what_a_resume_can_do():
    other = Problem(key="train.seed", found="x")
    assert rows_stay(other, job()) == other
    rows = Problem(
        key="train.global_batch_size", found="16 rows cannot be shared", allowed="a multiple of 6", hint="12"
    )
    told = rows_stay(rows, replace(job(), batch=replace(JOB.batch, micro_batch_size=2, gradient_accumulation_steps=3)))
    assert (told.where, told.allowed) == ("command line", "")
    assert told.hint.endswith("on 2 processes train.micro_batch_size may be 1, 2, 3, 6")
