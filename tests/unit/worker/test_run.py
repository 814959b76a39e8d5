from __future__ import annotations

import json
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from tests.plans import make_plan, make_recipe
from tunekit.diagnosis.cause import ENDED_AS_ASKED
from tunekit.launcher.run_dir import RunDir
from tunekit.probes.host import read_cpu_name
from tunekit.worker import run as module
from tunekit.worker.journal import Journal
from tunekit.worker.measuring import Meter
from tunekit.worker.run import (
    Origin,
    evaluate,
    finish_trackers,
    load_data,
    run,
    save_final,
    success_record,
    write_measured,
)
from tunekit.worker.stopping import Stopped
from tunekit.worker.world import World

pytestmark = pytest.mark.train
CPU = World(rank=0, local_rank=0, size=1, device=torch.device("cpu"))


def journal_of(tmp_path: Path) -> Journal:
    return Journal(RunDir(tmp_path), rank=0)


@pytest.mark.parametrize("rank", [0, 1])
def test_a_request_between_phases_ends_with_130(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], rank: int
) -> None:
    def stopped(*args: Any) -> int:
        raise Stopped

    monkeypatch.setattr(module, "train_and_save", stopped)
    journal = Journal(RunDir(tmp_path), rank=rank)
    assert run(make_plan(), RunDir(tmp_path), journal, Origin()) == 130
    assert journal.phase == "stopped"
    assert ENDED_AS_ASKED in capsys.readouterr().out, "every rank says so, in its own log"


def test_only_a_checkpoint_of_weights_takes_the_place_of_the_model() -> None:
    assert Origin(checkpoint=Path("a")).weights is None
    assert Origin(checkpoint=Path("a"), weights_only=True).weights == Path("a")


def test_rows_are_read_and_what_is_odd_about_them_told(
    plan_tiny: Any, tiny_model: Path, tmp_path: Path, lonely_world: World, capsys: pytest.CaptureFixture[str]
) -> None:
    from tunekit.worker.model import load_tokenizer

    plan = plan_tiny(train={"max_seq_length": 40}, data={"packing": False, "eval_fraction": 0.25})
    data = load_data(plan, load_tokenizer(plan, tiny_model), journal_of(tmp_path), lonely_world)
    assert data.eval is not None
    assert max(len(row["input_ids"]) for row in data.train) <= 40
    events = [json.loads(line) for line in (tmp_path / "events.jsonl").read_text().splitlines()]
    assert {"warning", "data"} <= {event["event"] for event in events}
    assert "warning = " in capsys.readouterr().out


def test_nothing_held_out_nothing_evaluated(tmp_path: Path) -> None:
    trainer = SimpleNamespace(eval_dataset=None)
    assert evaluate(trainer, journal_of(tmp_path)) is None  # type: ignore[arg-type]


def test_held_out_rows_are_evaluated_after_the_last_step(tmp_path: Path) -> None:
    state = SimpleNamespace(global_step=4, log_history=[{"eval_loss": 2.5, "step": 2}, {"loss": 1.0, "step": 4}])
    trainer = SimpleNamespace(eval_dataset=[1], state=state, evaluate=lambda: {"eval_loss": torch.tensor(1.5)})
    assert evaluate(trainer, journal_of(tmp_path)) == 1.5  # type: ignore[arg-type]
    assert '"eval"' in (tmp_path / "events.jsonl").read_text()


def test_the_last_step_is_not_evaluated_twice(tmp_path: Path) -> None:
    state = SimpleNamespace(global_step=4, log_history=[{"eval_loss": 2.5, "step": 4}, {"train_loss": 1.0, "step": 4}])
    trainer: Any = SimpleNamespace(eval_dataset=[1], state=state, evaluate=lambda: pytest.fail("evaluated again"))
    assert evaluate(trainer, journal_of(tmp_path)) == 2.5


def test_saving_is_verified_by_the_first_rank(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[Any] = []
    monkeypatch.setattr(module, "save_model_files", lambda trainer, folder, world: seen.append(("save", folder)))
    monkeypatch.setattr(module, "verify_final", lambda folder, plan: seen.append(("verify", folder)) or {"tensors": 3})
    trainer = SimpleNamespace(world=CPU, plan=make_plan())
    found = save_final(trainer, RunDir(tmp_path), journal_of(tmp_path), Meter(CPU))  # type: ignore[arg-type]
    assert found == {"tensors": 3}
    assert seen == [("save", tmp_path / "final"), ("verify", tmp_path / "final")]


def test_measured_peaks_stand_beside_the_expected(tmp_path: Path) -> None:
    meter = Meter(CPU)
    meter.enter("step")
    meter.close()
    start = SimpleNamespace(shards={"parameter_bytes": 5}, engine={"stage": 2})
    swap = tmp_path / "nvme" / "zero_stage_3"
    swap.mkdir(parents=True)
    (swap / "0.tensor.swp").write_bytes(b"1234567")
    adam = SimpleNamespace(state={0: {"exp_avg": torch.ones(4), "step": torch.tensor(1.0)}})
    engine = SimpleNamespace(optimizer=SimpleNamespace(optimizer=adam))
    plan = make_plan(zero={"nvme_path": str(tmp_path / "nvme")})
    trainer = SimpleNamespace(world=CPU, plan=plan, deepspeed=engine)
    write_measured(trainer, RunDir(tmp_path), meter, start)  # type: ignore[arg-type]
    measured = json.loads((tmp_path / "measured.json").read_text())
    assert measured["engine"] == {"stage": 2}
    assert measured["ranks"][0]["shards"] == {"parameter_bytes": 5, "optimizer_state_bytes": 16}
    assert measured["ranks"][0]["start"]["host_bytes"] > 0
    assert measured["swap_bytes"] == 7
    assert measured["machine"].endswith(read_cpu_name())
    assert measured["ranks"][0]["phases"]["step"]["host_bytes"] > 0
    assert measured["expected"] == [{"phase": "step", "device_bytes": 0, "host_bytes": 4 * 2**30}]


def record(tmp_path: Path, **start: Any) -> dict[str, Any]:
    plan = make_plan(recipe=make_recipe(output={"sample_prompts": ["Why?"]}))
    steps = SimpleNamespace(losses=[3.0, 2.0], tokens_per_second=123.4567, first_step_seconds=9.5)
    begun = SimpleNamespace(engine={"stage": 2}, journal=journal_of(tmp_path), steps_before=1, **start)
    trainer: Any = SimpleNamespace(state=SimpleNamespace(global_step=2))
    return success_record(plan, trainer, steps, begun, {"bytes": 7}, ("So.",), 1.5)  # type: ignore[arg-type]


def test_success_says_what_the_summary_shows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TUNEKIT_ATTEMPT", "3")
    found = record(tmp_path, samples=("Hm.",))
    assert (found["attempt"], found["steps"], found["loss_first"], found["loss_last"]) == (3, 2, 3.0, 2.0)
    assert found["steps_before"] == 1
    assert (found["eval_loss"], found["tokens_per_second"], found["final"]) == (1.5, 123.457, {"bytes": 7})
    assert found["samples"] == [{"prompt": "Why?", "before": "Hm.", "after": "So."}]


def test_a_resumed_run_has_no_answer_from_before(tmp_path: Path) -> None:
    assert record(tmp_path, samples=())["samples"] == [{"prompt": "Why?", "before": "", "after": "So."}]


@pytest.mark.parametrize(("active", "finished"), [(object(), 1), (None, 0)])
def test_a_tracker_that_runs_is_finished(monkeypatch: pytest.MonkeyPatch, active: object, finished: int) -> None:
    seen: list[bool] = []
    wandb = SimpleNamespace(run=active, finish=lambda: seen.append(True))
    monkeypatch.setitem(sys.modules, "wandb", wandb)  # type: ignore[arg-type]
    finish_trackers()
    assert len(seen) == finished
