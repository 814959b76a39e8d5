from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from tests.plans import CPU_BOX, make_caller, make_plan, make_recipe
from tests.runs import steps, write_checkpoint, write_json, write_lines, write_run
from tunekit.backends.recording import RecordingBackend
from tunekit.backends.resuming import resumable
from tunekit.backends.session import start_run
from tunekit.errors import RecipeError, UsageError
from tunekit.launcher.preflight import Machine
from tunekit.launcher.run_dir import RunDir

HERE = Machine(hardware=CPU_BOX)


def begin(start, caller, machine=HERE):
    backend, said = RecordingBackend(), []
    start_run(start, caller=caller, machine=machine, backend=backend, report=said.append)
    return backend.requests[0], said


@pytest.fixture
def stopped(first):
    """A run that was stopped after two checkpoints, the newer of which is not whole."""
    run_dir = write_run(first.run_dir.path, first.plan)
    write_lines(run_dir.metrics, steps(3.0, 2.5))
    run_dir.stop_request.touch()
    write_checkpoint(run_dir.checkpoints, 5)
    (write_checkpoint(run_dir.checkpoints, 10) / "complete.json").unlink()
    return run_dir


def test_resume_takes_the_newest_complete_checkpoint(stopped, caller, plan, tmp_path):
    found = resumable(stopped, make_caller(environ=caller.environ, cwd="/elsewhere"))
    start, who = found.start, found.caller
    assert start.resume_from == stopped.checkpoints / "checkpoint-5"
    assert (start.plan, start.transfer, start.replanned) == (plan, None, False)
    assert [(broken.step, broken.fault) for broken in found.passed_over] == [
        (10, "complete.json is missing or cut off: the save was cut short")
    ]
    assert who.cwd == str(tmp_path), "paths in the recipe mean what they meant"
    request, _ = begin(start, who)
    assert "--no-rehearsal" in request.argv, "this plan was rehearsed by the first attempt"
    assert request.argv[-2:] == ("--resume-from", str(stopped.checkpoints / "checkpoint-5"))
    assert request.env["TUNEKIT_ATTEMPT"] == "2"
    assert RunDir(stopped.attempt(1)).metrics.exists()
    assert not stopped.stop_request.exists()


def test_a_checkpoint_with_a_damaged_file_is_passed_over_for_good(stopped, caller):
    newer = write_checkpoint(stopped.checkpoints, 7)
    states = next(newer.glob("global_step7/*optim_states.pt"))
    states.write_bytes(states.read_bytes().replace(b"xxx", b"xyx", 1))
    for _ in range(2):
        found = resumable(stopped, caller)
        assert found.start.resume_from == stopped.checkpoints / "checkpoint-5"
        assert [broken.step for broken in found.passed_over] == [10, 7]
        assert "is damaged" in (found.passed_over[1].fault or "")


def test_resume_sees_the_recipes_paths_from_where_it_was_started(caller, model_dir, tmp_path, monkeypatch):
    (tmp_path / "rows.jsonl").write_text('{"text": "words to learn"}\n')
    model = str(model_dir.relative_to(tmp_path))
    recipe = make_recipe(model={"path": model}, data={"path": "rows.jsonl"}, output={"dir": "a"})
    plan = make_plan(recipe=recipe)
    run_dir = write_run(tmp_path / "a", plan)
    write_checkpoint(run_dir.checkpoints, 5)
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    found = resumable(run_dir, make_caller(environ=caller.environ, cwd=str(Path.cwd())))
    request, _ = begin(found.start, found.caller)
    assert request.cwd == str(tmp_path)
    assert Path.cwd() == tmp_path / "elsewhere"


def test_resume_where_the_folder_it_was_started_in_is_gone(stopped, caller, tmp_path):
    write_json(stopped.launch, {"attempt": 1, "cwd": str(tmp_path / "gone")})
    with pytest.raises(UsageError, match="was started in .*gone, which is not there"):
        resumable(stopped, caller)


def test_resume_without_a_complete_checkpoint_says_why_and_what_to_do(stopped, caller):
    shutil.rmtree(stopped.checkpoints / "checkpoint-5")
    with pytest.raises(UsageError) as caught:
        resumable(stopped, caller)
    text = str(caught.value)
    assert "no complete checkpoint to go on from" in text
    assert "checkpoint-10: complete.json is missing" in text
    assert f"tunekit launch {stopped.resolved_recipe} output.dir={stopped.path}-2 output.save_steps=50" in text


def test_what_cannot_be_resumed(stopped, caller, tmp_path):
    with pytest.raises(UsageError, match="is not a run directory"):
        resumable(RunDir(tmp_path), caller)
    write_json(stopped.success, {"attempt": 1})
    with pytest.raises(UsageError, match="is done; its result lies in"):
        resumable(stopped, caller)


def on_one_process(loaded):
    """As `tunekit plan` would, on a machine for one process."""
    assert loaded.recipe.hardware == "one.yaml"
    assert loaded.recipe.train.gradient_accumulation_steps is None, "it follows from the machine"
    plan, batch = make_plan(recipe=loaded.recipe), make_plan().job.batch
    alone = replace(batch, gradient_accumulation_steps=batch.gradient_accumulation_steps * 2, world_size=1)
    return replace(plan, job=replace(plan.job, batch=alone))


def test_another_machine_is_another_plan_with_the_same_global_batch(stopped, caller):
    found = resumable(stopped, caller, ["hardware=one.yaml"], on_one_process)
    assert (found.start.transfer, found.start.replanned) == ("universal", True)
    assert "saved by 2 processes, read by 1 process at ZeRO 2: weights, step, learning rate" in found.remark
    assert "#   hardware=one.yaml" in found.start.recipe_text
    assert "one.yaml" not in stopped.recipe.read_text(), "nothing is written before it starts"


def test_an_unknown_key_is_told_as_one_with_the_nearest_name(stopped, caller):
    with pytest.raises(RecipeError, match=r"train.max_stepz: there is no such key; did you mean max_steps\?"):
        resumable(stopped, caller, ["train.max_stepz=6"], on_one_process)


def test_what_would_be_another_training_is_refused_before_anything(stopped, caller):
    with pytest.raises(RecipeError, match=r"train.learning_rate: cannot change when a run is resumed"):
        resumable(stopped, caller, ["train.learning_rate=0.1"], on_one_process)
    assert json.loads(stopped.launch.read_text())["attempt"] == 1
