from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from tests.plans import CPU_BOX, DUAL_4090, make_plan, make_recipe
from tunekit.worker.rehearsal import (
    Counters,
    StatesBefore,
    as_if_it_had_not_been,
    is_due,
    longest_batch,
    steps_without_optimizer,
)
from tunekit.worker.world import World

pytestmark = pytest.mark.train
CPU = World(rank=0, local_rank=0, size=1, device=torch.device("cpu"))


@pytest.mark.parametrize(
    ("value", "on_gpus", "on_cpu"), [("gpu", True, False), ("always", True, True), ("never", False, False)]
)
def test_where_it_is_due(value: str, on_gpus: bool, on_cpu: bool) -> None:
    recipe = make_recipe(train={"rehearsal": value})
    gpus = make_plan(DUAL_4090, recipe=recipe)
    assert is_due(replace(gpus, job=replace(gpus.job, accelerator="cuda"))) is on_gpus
    assert is_due(make_plan(CPU_BOX, recipe=recipe)) is on_cpu


def test_states_in_swap_files_and_those_of_another_process_are_left_alone() -> None:
    job = make_plan().job
    assert steps_without_optimizer(job) is None
    assert "swap" in (steps_without_optimizer(replace(job, zero=replace(job.zero, offload_optimizer="nvme"))) or "")
    assert "ZenFlow" in (steps_without_optimizer(replace(job, zero=replace(job.zero, zenflow=True))) or "")


def optimizer_of(weight: torch.nn.Parameter) -> torch.optim.AdamW:
    return torch.optim.AdamW([weight], lr=0.1, weight_decay=0.5)


def stepped(optimizer: torch.optim.Optimizer, weight: torch.nn.Parameter) -> None:
    weight.grad = torch.full_like(weight, 3.0)
    optimizer.step()


def test_states_that_a_step_creates_are_dropped_again() -> None:
    weight = torch.nn.Parameter(torch.tensor([1.0, -2.0]))
    optimizer = optimizer_of(weight)
    before = StatesBefore.of(optimizer)
    optimizer.param_groups[0] |= {"lr": 0.0, "new": 1}
    stepped(optimizer, weight)
    assert weight.tolist() == [1.0, -2.0], "at learning rate 0 nothing moves, nor decays"
    assert optimizer.state
    before.restore()
    assert not optimizer.state
    assert optimizer.param_groups[0]["lr"] == 0.1
    assert "new" not in optimizer.param_groups[0]


def test_states_that_were_there_are_what_they_were() -> None:
    weight = torch.nn.Parameter(torch.tensor([1.0, -2.0]))
    optimizer = optimizer_of(weight)
    stepped(optimizer, weight)
    optimizer.state[weight]["exp_avg_sq"].zero_()
    average = optimizer.state[weight]["exp_avg"]
    expected = {name: value.clone() for name, value in optimizer.state[weight].items()}
    before = StatesBefore.of(optimizer)
    stepped(optimizer, weight)
    before.restore()
    assert all(torch.equal(optimizer.state[weight][name], value) for name, value in expected.items())
    assert optimizer.state[weight]["exp_avg"] is average, "DeepSpeed keeps views of it"


def test_states_that_are_all_alike_take_no_second_place_on_the_card() -> None:
    """Those of 8 bits are not zero after DeepSpeed's empty step: 127 stands for 0."""
    weight = torch.nn.Parameter(torch.ones(2))
    state = {"state1": torch.full((4,), 127, dtype=torch.uint8), "exp_avg": torch.zeros(4), "step": torch.tensor(1.0)}
    optimizer = optimizer_of(weight)
    optimizer.state[weight] = dict(state)
    before = StatesBefore.of(optimizer)
    assert {name: kept.copied for name, kept in before.states[weight].items()} == {
        "state1": 127,
        "exp_avg": 0.0,
        "step": 1.0,
    }
    for tensor in state.values():
        tensor += 3
    before.restore()
    assert [tensor.flatten()[0].item() for tensor in state.values()] == [127, 0.0, 1.0]


def test_counters_go_back() -> None:
    engine = SimpleNamespace(global_steps=4, micro_steps=8, other=1)
    counters = Counters.of(engine)
    engine.global_steps, engine.micro_steps, engine.other = 5, 9, 2
    counters.restore()
    assert vars(engine) == {"global_steps": 4, "micro_steps": 8, "other": 2}
    Counters.of(None).restore()


@pytest.fixture(params=["loss_scaler", "loss_scale_config"])
def trainer(request: pytest.FixtureRequest) -> Any:
    """An engine with an optimizer, a schedule and a loss scale, where ZeRO and fp16 without it keep it."""
    weight = torch.nn.Parameter(torch.ones(2))
    optimizer = optimizer_of(weight)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: 1.0 / (step + 1))
    scaler = SimpleNamespace(cur_scale=65536.0, cur_iter=0)
    outer = SimpleNamespace(optimizer=optimizer, overflow=False, **{request.param: scaler})
    engine = SimpleNamespace(optimizer=outer, lr_scheduler=schedule, global_steps=0)
    return SimpleNamespace(deepspeed=engine, world=CPU, learning_rate=0.0, weight=weight, scaler=scaler)


def test_all_is_as_if_it_had_not_been(trainer: Any) -> None:
    engine = trainer.deepspeed
    torch.manual_seed(1)
    expected = torch.rand(3)
    torch.manual_seed(1)
    with as_if_it_had_not_been(trainer):
        assert trainer.scaler.cur_scale == 1.0
        torch.rand(7)
        stepped(engine.optimizer.optimizer, trainer.weight)
        engine.lr_scheduler.step()
        engine.global_steps += 1
        trainer.scaler.cur_iter += 1
        trainer.learning_rate = 9.0
    assert torch.equal(torch.rand(3), expected)
    assert trainer.weight.tolist() == [1.0, 1.0]
    assert not engine.optimizer.optimizer.state
    assert (engine.global_steps, engine.lr_scheduler.last_epoch, trainer.learning_rate) == (0, 0, 0.0)
    assert engine.optimizer.optimizer.param_groups[0]["lr"] == 0.1
    assert vars(trainer.scaler) == {"cur_scale": 65536.0, "cur_iter": 0}


def test_it_goes_back_also_where_it_fails(trainer: Any) -> None:
    with pytest.raises(ValueError, match="out of memory"), as_if_it_had_not_been(trainer):
        raise ValueError("out of memory")
    assert trainer.deepspeed.optimizer.optimizer.param_groups[0]["lr"] == 0.1


@pytest.mark.parametrize("packing", [True, False])
def test_the_rehearsed_rows_are_full(plan_tiny: Any, tiny_model: Path, packing: bool) -> None:
    from tunekit.worker.model import load_tokenizer

    plan = plan_tiny(train={"micro_batch_size": 3}, data={"packing": packing})
    seen: list[dict[str, Any]] = []
    trainer: Any = SimpleNamespace(
        plan=plan, processing_class=load_tokenizer(plan, tiny_model), data_collator=lambda rows: seen.extend(rows) or {}
    )
    assert longest_batch(trainer) == {}
    assert [len(row["input_ids"]) for row in seen] == [plan.job.max_seq_length] * 3
    assert all(row["labels"] == row["input_ids"] for row in seen)
    assert [row.get("seq_lengths") for row in seen] == [[plan.job.max_seq_length] if packing else None] * 3
