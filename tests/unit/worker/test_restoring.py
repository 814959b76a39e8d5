from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from tunekit.worker import restoring as module
from tunekit.worker.restoring import (
    advance_schedule,
    inner_optimizer,
    load_adapter_weights,
    part_steps,
    read_checkpoint,
)

pytestmark = pytest.mark.train


def test_every_state_counts_for_itself() -> None:
    weights = [torch.nn.Parameter(torch.ones(2)) for _ in range(2)]
    optimizer = torch.optim.AdamW(weights)
    shared = torch.tensor(5.0)
    for weight in weights:
        optimizer.state[weight] = {"step": shared}
    part_steps(optimizer)
    optimizer.state[weights[0]]["step"] += 1
    assert [float(optimizer.state[weight]["step"]) for weight in weights] == [6.0, 5.0]


def test_a_counter_that_is_a_number_stays_one() -> None:
    weight = torch.nn.Parameter(torch.ones(2))
    optimizer = torch.optim.SGD([weight])
    optimizer.state[weight] = {"step": 3}
    part_steps(optimizer)
    assert optimizer.state[weight] == {"step": 3}


def test_the_schedule_goes_on_at_the_step_that_comes_next(tmp_path: Path) -> None:
    def schedule_of(rate: float = 1.0) -> Any:
        return torch.optim.lr_scheduler.LambdaLR(
            torch.optim.SGD([torch.nn.Parameter(torch.ones(1))], lr=rate), lambda step: 1.0 / (step + 1)
        )

    straight, late = schedule_of(), schedule_of()
    for _ in range(7):
        straight.optimizer.step()
        straight.step()
    (tmp_path / "trainer_state.json").write_text(json.dumps({"global_step": 7}))
    advance_schedule(SimpleNamespace(lr_scheduler=late), tmp_path)  # type: ignore[arg-type]
    assert late.get_last_lr() == straight.get_last_lr()
    assert late.optimizer.param_groups[0]["lr"] == straight.optimizer.param_groups[0]["lr"]


def test_weights_alone_leave_deepspeed_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[str] = []
    monkeypatch.setattr(module, "advance_schedule", lambda trainer, folder: read.append("schedule"))
    monkeypatch.setattr(module, "deepspeed_load_checkpoint", lambda *args, **kwargs: read.append("states"))
    read_checkpoint(SimpleNamespace(weights_only=True), tmp_path)  # type: ignore[arg-type]
    assert read == ["schedule"]
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.ones(1))])
    trainer: Any = SimpleNamespace(
        weights_only=False,
        model=None,
        model_wrapped=None,
        deepspeed=SimpleNamespace(optimizer=optimizer),
        _load_optimizer_and_scheduler=lambda folder: read.append("trainer's"),
    )
    read_checkpoint(trainer, tmp_path)
    assert read == ["schedule", "states", "trainer's"]
    (tmp_path / "latest_universal").touch()
    read_checkpoint(trainer, tmp_path)
    assert read[3:] == ["states", "schedule"], "it was written for other groups"


def test_the_optimizer_inside_deepspeeds() -> None:
    assert inner_optimizer(SimpleNamespace(optimizer=SimpleNamespace(optimizer="adam"))) == "adam"
    assert inner_optimizer(SimpleNamespace(optimizer="adam")) == "adam"


def test_a_saved_adapter_takes_the_place_of_a_new_one(plan_tiny: Any, tiny_model: Path, tmp_path: Path) -> None:
    from tunekit.worker.adapters import add_adapters
    from tunekit.worker.model import load_model
    from tunekit.worker.world import World

    plan = plan_tiny(method={"kind": "lora"})
    world = World(rank=0, local_rank=0, size=1, device=torch.device("cpu"))
    saved, fresh = (add_adapters(load_model(plan, tiny_model, world), plan) for _ in range(2))
    for parameter in saved.parameters():
        if parameter.requires_grad:
            torch.nn.init.normal_(parameter)
    saved.save_pretrained(str(tmp_path / "adapter"))
    load_adapter_weights(fresh, tmp_path / "adapter")
    assert all(torch.equal(old, new) for old, new in zip(saved.parameters(), fresh.parameters(), strict=True))
