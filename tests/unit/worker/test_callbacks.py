from __future__ import annotations

import json
import random
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from tests.plans import make_plan, make_recipe
from tunekit.errors import TunekitError
from tunekit.launcher.run_dir import RunDir
from tunekit.worker import callbacks as module
from tunekit.worker.callbacks import StartCallback, StepCallback, TensorBoardCallback, note_samples
from tunekit.worker.journal import Journal
from tunekit.worker.measuring import Meter
from tunekit.worker.stopping import StopRequest
from tunekit.worker.world import World

pytestmark = pytest.mark.train
CPU = World(rank=0, local_rank=0, size=1, device=torch.device("cpu"))


def state_at(step: int, *, max_steps: int = 4) -> Any:
    return SimpleNamespace(global_step=step, max_steps=max_steps, epoch=0.5, is_world_process_zero=True)


def control() -> Any:
    return SimpleNamespace(should_training_stop=False, should_save=False)


def read(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


@pytest.fixture
def steps(tmp_path: Path) -> StepCallback:
    """The callback of a run that saves every third step."""
    callback = StepCallback(Journal(RunDir(tmp_path), rank=0), Meter(CPU), StopRequest(RunDir(tmp_path)))
    plan = make_plan(recipe=make_recipe(output={"save_steps": 3}))
    callback.trainer = SimpleNamespace(plan=plan, world=CPU, tokens_in_step=100)  # type: ignore[assignment]
    callback.on_train_begin(None, state_at(0), control())
    return callback


ARGS = SimpleNamespace(save_steps=3, output_dir="no such folder")


def test_a_logged_step_is_a_line_of_metrics(steps: StepCallback, tmp_path: Path) -> None:
    steps.clock -= 2.0
    steps.on_step_end(ARGS, state_at(1), control())
    logs = {"loss": 2.5, "grad_norm": 0.5, "learning_rate": 1e-4, "epoch": 0.5}
    steps.on_log(ARGS, state_at(1), control(), logs=logs)
    (line,) = read(tmp_path / "metrics.jsonl")
    assert {name: line[name] for name in ("step", "max_steps", "epoch", "loss", "grad_norm", "learning_rate")} == {
        "step": 1,
        "max_steps": 4,
        "epoch": 0.5,
        "loss": 2.5,
        "grad_norm": 0.5,
        "learning_rate": 1e-4,
    }
    assert line["tokens_per_second"] == pytest.approx(50, rel=0.05)
    assert line["host_bytes"] > 50 * 2**20
    assert line["gpu_bytes"] == 0
    assert steps.losses == [2.5]


def test_an_evaluation_is_a_line_and_the_closing_summary_is_none(steps: StepCallback, tmp_path: Path) -> None:
    steps.on_log(ARGS, state_at(2), control(), logs={"eval_loss": 1.25, "eval_runtime": 3.0})
    steps.on_log(ARGS, state_at(2), control(), logs={"train_runtime": 9.0, "train_loss": 2.0})
    (line,) = read(tmp_path / "metrics.jsonl")
    assert (line["step"], line["eval_loss"]) == (2, 1.25)


def test_the_first_step_does_not_count_for_the_steady_speed(steps: StepCallback) -> None:
    assert steps.tokens_per_second == 0.0
    steps.on_step_end(ARGS, state_at(1), control())
    assert steps.first_step_seconds is not None
    assert steps.tokens_per_second == 0.0
    steps.on_step_end(ARGS, state_at(2), control())
    assert steps.tokens_per_second == pytest.approx(100 / steps.steady_seconds)


def test_being_asked_ends_the_step_with_a_checkpoint(steps: StepCallback, tmp_path: Path) -> None:
    assert steps.stop.stepping
    quiet = steps.on_step_end(ARGS, state_at(1), control())
    assert (quiet.should_training_stop, quiet.should_save, steps.stop.agreed) == (False, False, False)
    (tmp_path / "stop.request").touch()
    asked = steps.on_step_end(ARGS, state_at(2), control())
    assert (asked.should_training_stop, asked.should_save, steps.stop.agreed) == (True, True, True)


def test_an_evaluation_in_between_does_not_cut_the_time_of_the_steps(steps: StepCallback, tmp_path: Path) -> None:
    for step, logs in ((1, {"loss": 2.0}), (2, {"eval_loss": 1.5}), (3, {"loss": 1.0})):
        steps.clock -= 2.0
        steps.on_step_end(ARGS, state_at(step), control())
        steps.on_log(ARGS, state_at(step), control(), logs=logs)
    records = [line for line in read(tmp_path / "metrics.jsonl") if "loss" in line]
    assert [record["seconds"] for record in records] == [pytest.approx(2.0, abs=0.5), pytest.approx(4.0, abs=0.5)]


def test_being_asked_between_micro_batches_does_not_wait_for_the_step(steps: StepCallback, tmp_path: Path) -> None:
    steps.on_step_begin(ARGS, state_at(1), control())
    drawn = torch.rand(3), np.random.rand(), random.random()
    assert not steps.on_substep_end(ARGS, state_at(1), control()).should_training_stop
    (tmp_path / "stop.request").touch()
    asked = steps.on_substep_end(ARGS, state_at(1), control())
    assert (asked.should_training_stop, asked.should_save, steps.stop.agreed) == (True, True, True)
    assert (torch.rand(3).tolist(), np.random.rand(), random.random()) == (drawn[0].tolist(), *drawn[1:]), (
        "what is saved draws the broken-off step again"
    )


def test_the_first_step_of_an_epoch_is_done_again_with_its_shuffling(steps: StepCallback, tmp_path: Path) -> None:
    (tmp_path / "stop.request").touch()
    steps.on_epoch_begin(ARGS, state_at(1), control())
    shuffled = torch.rand(3).tolist()
    steps.on_step_begin(ARGS, state_at(1), control())
    steps.on_substep_end(ARGS, state_at(1), control())
    assert torch.rand(3).tolist() == shuffled
    steps.on_step_begin(ARGS, state_at(2), control())
    dropped = torch.rand(3).tolist()
    steps.on_substep_end(ARGS, state_at(2), control())
    assert torch.rand(3).tolist() == dropped, "the next step is after it"


def test_a_complete_checkpoint_is_not_written_over(steps: StepCallback, tmp_path: Path) -> None:
    steps.on_step_begin(ARGS, state_at(1), control())
    (tmp_path / "stop.request").touch()
    (tmp_path / "checkpoint-3").mkdir()
    (tmp_path / "checkpoint-3" / "complete.json").touch()
    args = SimpleNamespace(save_steps=3, output_dir=str(tmp_path))
    assert not steps.on_substep_end(args, state_at(3), control()).should_save


def test_before_the_first_step_there_is_nothing_to_save(steps: StepCallback, tmp_path: Path) -> None:
    steps.on_step_begin(ARGS, state_at(1), control())
    (tmp_path / "stop.request").touch()
    asked = steps.on_substep_end(ARGS, state_at(0), control())
    assert (asked.should_training_stop, asked.should_save) == (True, False)


def test_any_ranks_request_counts(steps: StepCallback, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "gather_numbers", lambda mine, world: [mine, [1.0, 50.0, 10.0, 99.0]])
    assert steps.on_step_end(ARGS, state_at(2), control()).should_training_stop
    assert steps.gpu_bytes == 99
    assert steps.tokens == 150


def test_after_the_last_step_there_is_nothing_left_to_stop(steps: StepCallback, tmp_path: Path) -> None:
    (tmp_path / "stop.request").touch()
    steps.on_step_end(ARGS, state_at(4), control())
    assert not steps.stop.agreed


@pytest.mark.parametrize(("step", "saves"), [(3, True), (4, False)])
def test_the_last_step_saves_only_when_one_is_due(steps: StepCallback, step: int, saves: bool) -> None:
    wanted = SimpleNamespace(should_training_stop=True, should_save=True)
    assert steps.on_step_end(ARGS, state_at(step, max_steps=step), wanted).should_save is saves


def test_a_plan_that_is_new_here_is_rehearsed_before_a_checkpoint_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    done = []
    for name, value in (("check_engine", {}), ("shard_sizes", {})):
        monkeypatch.setattr(module, name, lambda *_, value=value: value)
    monkeypatch.setattr(module, "part_checkpoints", done.append)
    monkeypatch.setattr(module, "rehearse", lambda trainer, journal: done.append(trainer))
    trainer: Any = SimpleNamespace(plan=make_plan(), model_wrapped=SimpleNamespace(optimizer=None))
    StartCallback(Journal(RunDir(tmp_path), rank=0), Meter(CPU), rehearses=True).on_engine(trainer)
    assert done == [trainer.model_wrapped, trainer], "a rehearsed save copies no more than a real one"


def test_a_converted_checkpoint_goes_after_the_first_step(steps: StepCallback, tmp_path: Path) -> None:
    RunDir(tmp_path).converted.mkdir()
    steps.on_step_end(ARGS, state_at(1), control())
    assert not RunDir(tmp_path).converted.exists()


def test_a_stop_request_may_ask_for_a_checkpoint_where_none_is_due(steps: StepCallback, tmp_path: Path) -> None:
    assert steps.trainer is not None
    steps.trainer.plan = make_plan(recipe=make_recipe())
    for save in (False, True):
        (tmp_path / "stop.request").write_text(json.dumps({"save": save}))
        assert steps.on_step_end(ARGS, state_at(1), control()).should_save is save


def test_a_checkpoint_is_an_event(steps: StepCallback, tmp_path: Path) -> None:
    steps.on_save(ARGS, state_at(3), control())
    assert read(tmp_path / "events.jsonl")[-1]["event"] == "checkpoint"


def test_the_wrong_engine_ends_the_run_before_the_first_step(tmp_path: Path) -> None:
    start = StartCallback(Journal(RunDir(tmp_path), rank=0), Meter(CPU))
    trainer: Any = SimpleNamespace(plan=make_plan(), model_wrapped=torch.nn.Linear(1, 1))
    with pytest.raises(TunekitError, match="without DeepSpeed"):
        start.on_engine(trainer)


def test_training_begins_with_its_first_forward(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in (("check_engine", {"stage": 2}), ("shard_sizes", {"parameter_bytes": 7})):
        monkeypatch.setattr(module, name, lambda *_, value=value: value)
    meter = Meter(CPU)
    start = StartCallback(Journal(RunDir(tmp_path), rank=0), meter)
    writer = SimpleNamespace(name="another")
    engine = SimpleNamespace(optimizer=None, checkpoint_engine=writer, backward=lambda: None, step=lambda: meter.phase)
    trainer: Any = SimpleNamespace(plan=make_plan(), model_wrapped=engine)
    start.on_engine(trainer)
    assert meter.phase is None, "nothing is rehearsed that was not asked for"
    start.on_train_begin(None, state_at(0), control())
    assert (start.engine, start.shards, meter.phase) == ({"stage": 2}, {"parameter_bytes": 7}, "first forward")
    engine.backward()
    assert (meter.phase, engine.step()) == ("step", "optimizer")


def test_tensorboard_is_loaded_at_the_first_log_and_read_back(steps: StepCallback, tmp_path: Path) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    board = TensorBoardCallback(str(tmp_path / "tensorboard"), steps)
    assert not (tmp_path / "tensorboard").exists()
    board.on_log(None, state_at(1), control(), logs={"loss": 2.5, "learning_rate": 0.5})
    board.on_log(None, state_at(1), control(), logs={"eval_loss": 1.5})
    board.close()
    events = EventAccumulator(str(tmp_path / "tensorboard")).Reload()
    assert [(scalar.step, scalar.value) for scalar in events.Scalars("train/loss")] == [(1, 2.5)]
    assert events.Scalars("train/learning_rate")[0].value == 0.5
    assert events.Scalars("eval/loss")[0].value == 1.5


def test_other_ranks_write_no_event_files(steps: StepCallback, tmp_path: Path) -> None:
    board = TensorBoardCallback(str(tmp_path / "tensorboard"), steps)
    board.on_log(None, SimpleNamespace(global_step=1, is_world_process_zero=False), control(), logs={"loss": 2.5})
    board.close()
    assert not (tmp_path / "tensorboard").exists()


def test_samples_are_events(tmp_path: Path) -> None:
    note_samples(Journal(RunDir(tmp_path), rank=0), "before", ("Why?",), ("So.",))
    (event,) = read(tmp_path / "events.jsonl")
    assert (event["event"], event["when"], event["prompt"], event["answer"]) == ("sample", "before", "Why?", "So.")
