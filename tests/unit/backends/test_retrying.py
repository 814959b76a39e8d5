from __future__ import annotations

from dataclasses import replace

import pytest

from tests.planning import SMOLLM, recipe_for, shape_of
from tests.plans import CPU_BOX, make_caller
from tests.runs import write_checkpoint, write_json, write_run
from tunekit.backends import retrying
from tunekit.backends.retrying import KEPT, MOST_RETRIES, next_try
from tunekit.launcher import checkpoint_bytes
from tunekit.launcher.checkpoint_bytes import Proofs, bytes_fault
from tunekit.launcher.outcome import RunResult
from tunekit.launcher.resuming import CHANGEABLE
from tunekit.planner.make import make_plan

FULL = RunResult(state="failed", attempt=1, exit_code=1, fault="GPU memory", said="the card ran out of memory")


@pytest.fixture(scope="module")
def plan():
    """Eight rows a pass on a machine without cards."""
    recipe = recipe_for(
        SMOLLM,
        train__max_seq_length=2048,
        train__micro_batch_size=4,
        train__global_batch_size=16,
        train__activation_checkpointing=True,
        zero__preset="z2",
        output__save_steps=2,
    )
    return make_plan(recipe, shape_of(SMOLLM), CPU_BOX)


@pytest.fixture
def run_dir(tmp_path, plan):
    return write_run(tmp_path / "runs" / "x", plan)


@pytest.fixture
def caller(tmp_path):
    return make_caller(cwd=str(tmp_path))


def saved(run_dir, step):
    checkpoint = write_checkpoint(run_dir.checkpoints, step)
    write_json(checkpoint / "complete.json", {"step": step, "world_size": 2, "spread": "optimizer"})


def test_the_smallest_change_that_fits_goes_on_from_the_newest_checkpoint(run_dir, caller, plan):
    saved(run_dir, 2)
    saved(run_dir, 4)
    retry = next_try(run_dir, FULL, caller, tried=[plan.job], damage=bytes_fault)
    assert (retry.step, retry.start.resume_from.name) == (4, "checkpoint-4")
    before, after = plan.job.batch, retry.start.plan.job.batch
    assert after.micro_batch_size < before.micro_batch_size
    assert after.global_batch_size == before.global_batch_size
    assert retry.start.plan.job.max_seq_length == plan.job.max_seq_length
    assert retry.start.plan.verdict != "rejected"
    assert retry.start.new_plan, "the plan that failed is kept with its attempt"
    assert "train.micro_batch_size" in retry.start.recipe_text
    assert str(retry).startswith(f"Trying again from step 4 with {retry.mend.set} (host RAM ")
    assert str(retry).endswith("Kept: 16 rows a step, their order, and 2,048 tokens a row.")


def test_without_a_checkpoint_it_begins_anew_in_the_same_folder(run_dir, caller, plan):
    retry = next_try(run_dir, FULL, caller, tried=[plan.job], damage=bytes_fault)
    assert (retry.step, retry.start.resume_from) == (None, None)
    assert retry.start.goes_on
    assert retry.start.run_dir == run_dir
    assert str(retry).startswith("Trying again from the beginning with ")


def test_never_the_same_plan_twice_and_not_for_ever(run_dir, caller, plan):
    first = next_try(run_dir, FULL, caller, tried=[plan.job], damage=bytes_fault).start.plan.job
    other = next_try(run_dir, FULL, caller, tried=[plan.job, first], damage=bytes_fault)
    assert other is None or other.start.plan.job not in (plan.job, first)
    assert next_try(run_dir, FULL, caller, tried=[plan.job] * (MOST_RETRIES + 1), damage=bytes_fault) is None


@pytest.mark.parametrize(
    "result",
    [
        replace(FULL, fault=None),
        replace(FULL, state="stopped", fault=None),
        replace(FULL, state="done"),
        replace(FULL, seen_bytes=10**15),
    ],
)
def test_what_is_not_tried_again(run_dir, caller, plan, result):
    assert next_try(run_dir, result, caller, tried=[plan.job], damage=bytes_fault) is None


def test_where_the_optimizers_states_would_be_lost_it_is_not_tried(run_dir, caller, plan, monkeypatch):
    saved(run_dir, 2)
    monkeypatch.setattr("tunekit.backends.resuming.how_to_read", lambda *any, **more: "weights")
    assert next_try(run_dir, FULL, caller, tried=[plan.job], damage=bytes_fault) is None


def test_a_folder_that_is_gone_ends_it(run_dir, caller, plan):
    write_json(run_dir.launch, {"attempt": 1, "cwd": "/no/such/folder"})
    assert next_try(run_dir, FULL, caller, tried=[plan.job], damage=bytes_fault) is None


def test_only_what_a_resumed_run_may_change_is_changed():
    assert all(key in CHANGEABLE or key.partition(".")[0] in CHANGEABLE for key in KEPT)
    assert retrying.MOST_RETRIES >= 1


def test_a_stop_before_the_host_was_full_is_tried_again_too(run_dir, caller, plan):
    stopped = RunResult(state="stopped", attempt=1, exit_code=130, fault="host memory", said="0.4 GiB of RAM are left")
    assert next_try(run_dir, stopped, caller, tried=[plan.job], damage=bytes_fault) is not None


def test_several_candidates_read_the_checkpoint_once(run_dir, caller, plan, monkeypatch):
    saved(run_dir, 2)
    asked, read, proofs = [], [], Proofs()
    monkeypatch.setattr(checkpoint_bytes, "bytes_fault", lambda folder, *, report: read.append(folder))

    def damage(folder):
        asked.append(folder)
        return proofs.fault(folder, report=print)

    first = next_try(run_dir, FULL, caller, tried=[plan.job], damage=damage).start.plan.job
    next_try(run_dir, FULL, caller, tried=[plan.job, first], damage=damage)
    assert len(asked) > 2
    assert read == [run_dir.checkpoints / "checkpoint-2"]
