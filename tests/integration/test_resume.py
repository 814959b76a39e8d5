"""A run that was killed, or stopped, and goes on from its checkpoint ends like one that never was."""

from __future__ import annotations

import json
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.integration import tiny
from tunekit.launcher.checkpoints import Checkpoint, list_checkpoints, newest_complete
from tunekit.launcher.resuming import how_to_read
from tunekit.launcher.run_dir import RunDir
from tunekit.memory.case import make_case
from tunekit.memory.saving import largest_state
from tunekit.planner.plan_json import plan_from_json

pytestmark = [pytest.mark.slow, pytest.mark.train]

CASES = {"full": "z3", "lora": "z2"}
RANKS, STEPS, SAVE_STEPS, INTERRUPTED = 2, 40, 10, 13
ELASTIC = {"max_steps": 12, "eval_steps": None, "weight_decay": 0.1}
ELASTIC_SAVED, ROUNDING = 6, 1e-3
"""Gradients in bf16 are summed in another order by another stage."""
LONG_STEPS = {"max_steps": 3, "gradient_accumulation_steps": 100, "eval_steps": None}


@dataclass(frozen=True, kw_only=True)
class Place:
    """Model and data that all runs share, and the folder that they lie in."""

    root: Path
    model: Path
    data: Path

    def run(self, name: str) -> Path:
        """The folder of one run."""
        return self.root / name

    def write(
        self,
        name: str,
        kind: str,
        *,
        train: dict[str, Any] | None = None,
        preset: str = "",
        streaming: bool = False,
        **output: Any,
    ) -> Path:
        """Plan a run of `kind`; dropout makes it depend on the random state too."""
        run = self.run(name)
        wanted = tiny.recipe(
            self.model,
            self.data,
            run,
            method={"kind": kind, **({"dropout": 0.1} if kind == "lora" else {})},
            zero={"preset": preset or CASES[kind]},
            train={"max_steps": STEPS, "eval_steps": 15, "warmup_ratio": 0.1, **(train or {})},
            data={"streaming": True} if streaming else {"eval_fraction": 0.1},
            output={"save_steps": SAVE_STEPS, **output},
            tracking=["tensorboard"],
        )
        tiny.write_run(run, wanted)
        return run


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Place:
    """One tiny model, a run of each kind that nobody disturbs, and after them one that is killed."""
    root = tmp_path_factory.mktemp("resume")
    place = Place(root=root, model=tiny.write_model(root / "model"), data=tiny.write_data(root / "data.jsonl"))
    straight = [place.write(f"{kind}-straight", kind, sample_prompts=["What colour is the car?"]) for kind in CASES]
    straight.append(place.write("long-straight", "lora", train=LONG_STEPS))
    straight.append(place.write("z2", "full", train=ELASTIC, preset="z2", save_steps=ELASTIC_SAVED))
    straight.append(place.write("stream", "lora", train=ELASTIC, save_steps=ELASTIC_SAVED, streaming=True))
    killed = place.write("full-killed", "full")
    tiny.build_ops(straight[0])
    started = tiny.start([*straight, killed])
    tiny.wait_for_step(started, killed, INTERRUPTED)
    tiny.end(started)
    assert all(RunDir(run).success.exists() for run in straight), tiny.log_tail(straight[0])
    return place


@dataclass(frozen=True, kw_only=True)
class Stopped:
    """A run as it was when it had stopped, before it went on."""

    run: Path
    steps: list[float]
    checkpoint: Path


@pytest.fixture(scope="module")
def stopped(place: Place) -> Stopped:
    """A run that was asked to stop in the middle of a long step."""
    run = place.write("long-stopped", "lora", train=LONG_STEPS)
    started = tiny.start([run])
    tiny.wait_for_step(started, run, 1)
    RunDir(run).stop_request.touch()
    assert tiny.finish(started) == 130, tiny.log_tail(run)
    assert not RunDir(run).success.exists()
    assert not RunDir(run).failure.exists()
    return Stopped(run=run, steps=tiny.metrics(run, "step"), checkpoint=checkpoint_of(run))


@pytest.fixture(scope="module")
def resumed(place: Place, stopped: Stopped) -> Path:
    """A run of each kind, killed in the middle, the stopped one, and two of `elastic`, gone on in one launch."""
    runs = [place.run("full-killed"), place.write("lora-killed", "lora")]
    started = tiny.start(runs[1:])
    tiny.wait_for_step(started, runs[1], INTERRUPTED)
    tiny.end(started)
    checkpoints = {run: checkpoint_of(run) for run in runs}
    assert {checkpoint.name for checkpoint in checkpoints.values()} == {f"checkpoint-{SAVE_STEPS}"}
    runs.append(stopped.run)
    checkpoints[stopped.run] = stopped.checkpoint
    RunDir(stopped.run).stop_request.unlink()
    checkpoints |= elastic(place)
    runs += [place.run("z2-to-z3"), place.run("stream-again")]
    assert tiny.finish(tiny.start(runs, checkpoints=checkpoints)) == 0, tiny.log_tail(runs[0])
    return place.root


def elastic(place: Place) -> dict[Path, Path]:
    """A run that goes on at another stage, and one that reads a stream, with the checkpoints in their middle."""
    from tunekit.worker.converting import convert

    found = {name: checkpoint_at(place.run(name), ELASTIC_SAVED) for name in ("z2", "stream")}
    sharded = place.write("z2-to-z3", "full", train=ELASTIC, preset="z3", save_steps=ELASTIC_SAVED)
    again = place.write("stream-again", "lora", train=ELASTIC, save_steps=ELASTIC_SAVED, streaming=True)
    plan = plan_from_json(RunDir(sharded).plan.read_text())
    assert (
        how_to_read(found["z2"], plan_from_json(RunDir(place.run("z2")).plan.read_text()).job, plan.job) == "universal"
    )
    convert(found["z2"].path, RunDir(sharded).converted, plan, "universal")
    config = json.loads(RunDir(sharded).ds_config.read_text())
    RunDir(sharded).ds_config.write_text(json.dumps(config | {"checkpoint": {"load_universal": True}}))
    return {sharded: RunDir(sharded).converted, again: found["stream"].path}


def checkpoint_at(run: Path, step: int) -> Checkpoint:
    """The complete checkpoint of a step."""
    return next(each for each in list_checkpoints(RunDir(run).checkpoints) if each.complete and each.step == step)


def checkpoint_of(run: Path) -> Path:
    """The newest checkpoint that is complete."""
    found = newest_complete(RunDir(run).checkpoints)
    assert found is not None, sorted(path.name for path in RunDir(run).checkpoints.iterdir())
    return found.path


def success(run: Path) -> dict[str, Any]:
    """The success marker."""
    record: dict[str, Any] = json.loads(RunDir(run).success.read_text())
    return record


@pytest.mark.parametrize("kind", CASES)
def test_a_killed_run_ends_with_the_same_loss(place: Place, resumed: Path, kind: str) -> None:
    straight = tiny.metrics(place.run(f"{kind}-straight"))
    again = tiny.metrics(resumed / f"{kind}-killed")
    assert len(straight) == STEPS
    assert again[-(STEPS - SAVE_STEPS) :] == pytest.approx(straight[SAVE_STEPS:], rel=1e-6)
    assert success(resumed / f"{kind}-killed")["loss_last"] == pytest.approx(straight[-1], rel=1e-6)


@pytest.mark.parametrize("kind", CASES)
def test_a_killed_run_ends_with_the_same_evaluation(place: Place, resumed: Path, kind: str) -> None:
    expected = success(place.run(f"{kind}-straight"))["eval_loss"]
    assert expected > 0
    assert success(resumed / f"{kind}-killed")["eval_loss"] == pytest.approx(expected, rel=1e-6)


def test_a_stop_request_does_not_wait_for_a_long_step(stopped: Stopped) -> None:
    assert stopped.steps == [1]
    assert stopped.checkpoint.name == "checkpoint-1"


def test_a_stopped_run_ends_with_the_same_loss(place: Place, resumed: Path) -> None:
    straight = tiny.metrics(place.run("long-straight"))
    assert tiny.metrics(resumed / "long-stopped") == pytest.approx(straight, rel=1e-6)


def test_another_stage_goes_on_with_the_same_losses(place: Place, resumed: Path) -> None:
    straight = tiny.metrics(place.run("z2"))
    assert tiny.metrics(resumed / "z2-to-z3") == pytest.approx(straight[ELASTIC_SAVED:], rel=ROUNDING)
    rates = tiny.metrics(place.run("z2"), "learning_rate")
    assert tiny.metrics(resumed / "z2-to-z3", "learning_rate") == rates[ELASTIC_SAVED:]
    assert not RunDir(resumed / "z2-to-z3").converted.exists()


def test_a_stream_goes_on_at_the_row_that_comes_next(place: Place, resumed: Path) -> None:
    straight = tiny.metrics(place.run("stream"))
    assert len(set(straight)) == len(straight), "no two steps have the same rows"
    assert tiny.metrics(resumed / "stream-again") == pytest.approx(straight[ELASTIC_SAVED:], rel=1e-6)


@pytest.mark.parametrize("kind", CASES)
def test_only_the_newest_checkpoints_are_kept(place: Place, kind: str) -> None:
    checkpoints = RunDir(place.run(f"{kind}-straight")).checkpoints
    assert sorted(path.name for path in checkpoints.iterdir()) == ["checkpoint-30", "checkpoint-40"]
    assert all((path / "complete.json").exists() for path in checkpoints.iterdir())


@pytest.mark.parametrize("name", ["full-straight", "lora-straight", "z2"])
def test_a_checkpoint_leaves_a_card_in_no_larger_pieces_than_planned(place: Place, name: str) -> None:
    """`torch.save` copies storage after storage to RAM: what is one record of the file was there at once."""
    plan = plan_from_json(RunDir(place.run(name)).plan.read_text())
    case = make_case(plan.job, plan.model_shape, plan.hardware)
    folder = checkpoint_of(place.run(name))
    assert largest_record(folder, "*_optim_states.pt") == pytest.approx(largest_state(case), rel=0.01)
    assert largest_record(folder, "*_model_states.pt") <= case.weight_bytes * case.inventory.largest_trainable


def largest_record(checkpoint: Path, files: str) -> int:
    """Bytes of the largest storage in these files of a checkpoint."""
    found = list(checkpoint.glob(f"global_step*/{files}"))
    assert found
    records = (each for path in found for each in zipfile.ZipFile(path).infolist() if "/data/" in each.filename)
    return max(each.file_size for each in records)


@pytest.mark.parametrize("kind", CASES)
def test_tensorboard_files_hold_every_step(place: Place, kind: str) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    run = place.run(f"{kind}-straight")
    events = EventAccumulator(str(RunDir(run).tensorboard)).Reload()
    losses = [scalar.value for scalar in events.Scalars("train/loss")]
    assert losses == pytest.approx(tiny.metrics(run), rel=1e-5)
    assert [scalar.step for scalar in events.Scalars("train/loss")] == list(range(1, STEPS + 1))
    assert len(events.Scalars("eval/loss")) == len(tiny.metrics(run, "eval_loss"))


@pytest.mark.parametrize("kind", CASES)
def test_questions_are_answered_before_and_after(place: Place, kind: str) -> None:
    (sample,) = success(place.run(f"{kind}-straight"))["samples"]
    assert sample["prompt"] == "What colour is the car?"
    assert isinstance(sample["before"], str)
    assert sample["after"] != sample["before"]


@pytest.mark.parametrize("kind", CASES)
def test_measured_peaks_of_every_rank_and_phase(place: Place, kind: str) -> None:
    measured = json.loads(RunDir(place.run(f"{kind}-straight")).measured.read_text())
    assert [rank["rank"] for rank in measured["ranks"]] == list(range(RANKS))
    for rank in measured["ranks"]:
        assert set(rank["phases"]) == {"load", "first forward", "step", "optimizer", "eval", "save"}
        assert all(phase["host_bytes"] > 50 * 2**20 for phase in rank["phases"].values())
    assert {peak["phase"] for peak in measured["expected"]} >= {"load", "step", "save"}
