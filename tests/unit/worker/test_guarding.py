"""The loss is followed on every rank; what has gone wrong ends at once."""

from __future__ import annotations

import json
import math
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from tests.plans import make_plan, make_recipe
from tests.runs import write_checkpoint
from tunekit.launcher.run_dir import RunDir
from tunekit.launcher.stop_request import read_stop_request
from tunekit.worker.guarding import GuardCallback
from tunekit.worker.journal import Journal
from tunekit.worker.stopping import StopRequest
from tunekit.worker.world import World

pytestmark = pytest.mark.train


class Guarded:
    """A guard of one rank, with what the trainer would hold."""

    def __init__(self, path: Path, *, rank: int = 0, precision: str = "bf16", keep: int = 1, **watch: Any) -> None:
        recipe = make_recipe(output={"keep_checkpoints": keep}, watch=watch)
        self.run_dir = RunDir(path)
        self.beats: list[int] = []
        journal = Journal(self.run_dir, rank=rank, signs=SimpleNamespace(touch=lambda: self.beats.append(1)))  # type: ignore[arg-type]
        self.stop = StopRequest(self.run_dir)
        self.guard = GuardCallback(make_plan(recipe=recipe, precision=precision), journal, self.stop)
        world = World(rank=rank, local_rank=rank, size=2, device=torch.device("cpu"))
        self.trainer = SimpleNamespace(world=world, proven_below=0)
        self.guard.trainer = self.trainer  # type: ignore[assignment]
        self.begin()

    def begin(self, *, step: int = 0, losses: tuple[float, ...] = ()) -> None:
        history = [{"loss": loss} for loss in losses] + [{"eval_loss": 9.0}]
        self.guard.on_train_begin(None, SimpleNamespace(global_step=step, log_history=history), None)

    def log(self, step: int, **logs: float) -> Any:
        control = SimpleNamespace(should_training_stop=False, should_save=True, should_evaluate=True)
        return self.guard.on_log(None, SimpleNamespace(global_step=step), control, logs=logs)

    def checkpoints(self) -> list[str]:
        return sorted(path.name for path in self.run_dir.checkpoints.iterdir())


def test_a_step_that_is_saved_is_logged_first(tmp_path: Path) -> None:
    guarded = Guarded(tmp_path)
    control = SimpleNamespace(should_save=True, should_log=False)
    assert guarded.guard.on_step_end(None, None, control).should_log
    control = SimpleNamespace(should_save=False, should_log=False)
    assert not guarded.guard.on_step_end(None, None, control).should_log


def test_every_step_and_part_of_one_is_a_sign_of_life(tmp_path: Path) -> None:
    guarded = Guarded(tmp_path)
    guarded.guard.on_step_end(None, None, SimpleNamespace(should_save=False))
    guarded.guard.on_substep_end(None, None, None)
    guarded.guard.on_prediction_step(None, None, None)
    assert len(guarded.beats) == 3


def test_a_sound_loss_changes_nothing(tmp_path: Path) -> None:
    guarded = Guarded(tmp_path)
    control = guarded.log(5, loss=2.0, grad_norm=1.0)
    assert (control.should_training_stop, control.should_save) == (False, True)
    assert guarded.trainer.proven_below == 5
    assert not guarded.run_dir.stop_request.exists()
    assert not guarded.log(5, eval_loss=math.nan).should_training_stop


def test_a_loss_that_is_no_number_ends_the_run_without_another_checkpoint(tmp_path: Path) -> None:
    guarded = Guarded(tmp_path, keep=3)
    for step in (2, 4):
        write_checkpoint(guarded.run_dir.checkpoints, step)
    guarded.log(4, loss=2.0)
    control = guarded.log(5, loss=math.nan)
    assert (control.should_training_stop, control.should_save, control.should_evaluate) == (True, False, False)
    assert guarded.stop.agreed
    (event,) = [json.loads(line) for line in guarded.run_dir.events.read_text().splitlines()]
    assert (event["event"], event["rule"], event["stops"]) == ("watch", "loss", True)
    assert event["text"] == "the loss is nan since step 5; the last good checkpoint is checkpoint-2"
    assert "train.learning_rate" in event["todo"]
    asked = read_stop_request(guarded.run_dir)
    assert (asked.reason, asked.save) == (event["text"], False)
    assert (guarded.run_dir.checkpoints / "checkpoint-4" / "doubtful.json").exists()
    assert not (guarded.run_dir.checkpoints / "checkpoint-2" / "doubtful.json").exists()


def test_the_other_ranks_come_to_the_same_end_and_write_nothing(tmp_path: Path) -> None:
    guarded = Guarded(tmp_path, rank=1)
    assert guarded.log(1, loss=math.nan).should_training_stop
    assert guarded.stop.agreed
    assert list(tmp_path.iterdir()) == []


def test_without_a_checkpoint_that_is_said(tmp_path: Path) -> None:
    guarded = Guarded(tmp_path)
    guarded.log(1, loss=math.inf)
    assert read_stop_request(guarded.run_dir).reason.endswith("there is no checkpoint from before")


def test_the_older_checkpoint_goes_once_the_newer_has_proven_itself(tmp_path: Path) -> None:
    guarded = Guarded(tmp_path, keep=1)
    for step in (2, 4):
        write_checkpoint(guarded.run_dir.checkpoints, step)
    guarded.guard.on_save(None, None, None)
    guarded.log(4, loss=2.0)
    assert guarded.checkpoints() == ["checkpoint-2", "checkpoint-4"]
    guarded.guard.on_save(None, None, None)
    guarded.log(5, loss=1.9)
    assert guarded.checkpoints() == ["checkpoint-4"]


def test_an_overflowing_gradient_is_no_fault_with_a_scaled_loss(tmp_path: Path) -> None:
    assert not Guarded(tmp_path, precision="fp16").log(1, loss=2.0, grad_norm=math.inf).should_training_stop
    assert Guarded(tmp_path).log(1, loss=2.0, grad_norm=math.inf).should_training_stop


def test_what_was_usual_before_a_resume_still_is(tmp_path: Path) -> None:
    guarded = Guarded(tmp_path, diverging_steps=2)
    write_checkpoint(guarded.run_dir.checkpoints, 20)
    write_checkpoint(guarded.run_dir.checkpoints, 10)
    guarded.begin(step=20, losses=(2.0,) * 20)
    guarded.log(21, loss=9.0)
    assert guarded.log(22, loss=9.5).should_training_stop
    assert "diverges since step 21: 9.500, and 2.000 was usual" in read_stop_request(guarded.run_dir).reason
    assert read_stop_request(guarded.run_dir).reason.endswith("the last good checkpoint is checkpoint-10")


def test_each_limit_can_be_turned_off(tmp_path: Path) -> None:
    off = {"nan_loss_steps": "off", "zero_loss_steps": "off", "diverging_factor": "off"}
    guarded = Guarded(tmp_path, **off)
    assert not any(guarded.log(step, loss=loss).should_training_stop for step, loss in enumerate([math.nan, 0.0] * 9))


def test_a_collapse_in_the_first_steps_ends_the_run_and_keeps_what_was_good(tmp_path: Path) -> None:
    guarded = Guarded(tmp_path, keep=1)
    write_checkpoint(guarded.run_dir.checkpoints, 1)
    guess = math.log(guarded.guard.plan.model_shape.vocab_size)
    for step, loss in enumerate([0.4 * guess, 0.4 * guess, 5 * guess, guess, guess, guess], start=1):
        assert not guarded.log(step, loss=loss).should_training_stop
    assert guarded.log(7, loss=guess).should_training_stop
    assert "diverges since step 3" in read_stop_request(guarded.run_dir).reason
    assert guarded.checkpoints() == ["checkpoint-1"]
