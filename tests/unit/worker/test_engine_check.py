from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
import torch

from tests.plans import CPU_BOX, make_plan
from tunekit.errors import TunekitError
from tunekit.worker.engine_check import check_engine, forget_empty_step, optimizer_place, parameter_place

pytestmark = pytest.mark.train


class DeepSpeedEngine:
    """What the check reads of the real one."""

    dp_world_size = 2

    def __init__(self, *, stage: int = 2, micro: int | None = None, **flags: Any) -> None:
        batch = make_plan(CPU_BOX).job.batch
        self.stage, self.micro, self.steps = stage, micro or batch.micro_batch_size, batch.gradient_accumulation_steps
        self.optimizer = SimpleNamespace(**flags)
        self.module = torch.nn.Linear(2, 2, dtype=torch.bfloat16)

    def zero_optimization_stage(self) -> int:
        return self.stage

    def train_micro_batch_size_per_gpu(self) -> int:
        return self.micro

    def gradient_accumulation_steps(self) -> int:
        return self.steps


def test_the_planned_engine_passes_and_is_told() -> None:
    found = check_engine(DeepSpeedEngine(cpu_offload=False), make_plan(CPU_BOX))
    assert found["engine"] == "DeepSpeedEngine"
    assert (found["stage"], found["offload_optimizer"], found["dtype"]) == (2, "none", "bfloat16")


def test_plain_data_parallelism_is_refused() -> None:
    with pytest.raises(TunekitError, match=r"without DeepSpeed: the trainer's model is a Linear"):
        check_engine(torch.nn.Linear(1, 1), make_plan(CPU_BOX))


def test_every_difference_is_named_with_both_values() -> None:
    engine = DeepSpeedEngine(stage=3, micro=7, offload_optimizer=True)
    with pytest.raises(TunekitError) as caught:
        check_engine(engine, make_plan(CPU_BOX))
    for part in (
        "stage: planned 2, found 3",
        "offload_optimizer: planned none, found cpu",
        "micro_batch_size: planned",
    ):
        assert part in str(caught.value)


@pytest.mark.parametrize(
    ("flags", "place"),
    [
        ({}, "none"),
        ({"cpu_offload": True}, "cpu"),
        ({"offload_optimizer": True}, "cpu"),
        ({"offload_optimizer": True, "swap_optimizer": True}, "nvme"),
    ],
)
def test_where_the_optimizer_is(flags: dict[str, bool], place: str) -> None:
    assert optimizer_place(DeepSpeedEngine(**flags)) == place


@pytest.mark.parametrize(
    ("flags", "place"),
    [({}, "none"), ({"offload_param": True}, "cpu"), ({"offload_param": True, "params_in_nvme_and_cpu": True}, "nvme")],
)
def test_where_parameters_rest(flags: dict[str, bool], place: str) -> None:
    assert parameter_place(DeepSpeedEngine(**flags)) == place


class FP16_UnfusedOptimizer:  # noqa: N801  (DeepSpeed's name)
    """Stage 0's optimizer after it has stepped once with zero gradients."""

    def __init__(self) -> None:
        self.weight = torch.nn.Parameter(torch.ones(4, dtype=torch.bfloat16))
        self.master = torch.nn.Parameter(torch.ones(4))
        self.optimizer = torch.optim.AdamW([self.master], lr=0.5, weight_decay=0.5)
        self.fp16_groups, self.fp32_groups = [[self.weight]], [[self.master]]
        self.master.grad = torch.zeros(4)
        self.optimizer.step()


def test_the_empty_step_of_stage_0_is_forgotten() -> None:
    optimizer = FP16_UnfusedOptimizer()
    assert optimizer.optimizer.state
    assert not torch.equal(optimizer.master, torch.ones(4))
    forget_empty_step(SimpleNamespace(optimizer=optimizer))
    assert not optimizer.optimizer.state
    assert torch.equal(optimizer.master, torch.ones(4))


def test_other_optimizers_keep_their_state() -> None:
    optimizer = SimpleNamespace(optimizer=SimpleNamespace(state={"moment": 1}))
    forget_empty_step(SimpleNamespace(optimizer=optimizer))
    assert optimizer.optimizer.state == {"moment": 1}


def test_the_empty_step_of_the_fused_optimizer_is_forgotten() -> None:
    """The real class: what a user's own JSON with AdamW gets on a card, where Adam itself is compiled."""
    from deepspeed.runtime.fp16.fused_optimizer import FP16_Optimizer

    weights = [torch.nn.Parameter(torch.full((size,), 1.5, dtype=torch.bfloat16)) for size in (4, 3)]
    inner = torch.optim.AdamW(weights, lr=0.5, weight_decay=0.5)
    optimizer = FP16_Optimizer(inner, low_precision_dtype=torch.bfloat16)
    (master,) = optimizer.fp32_groups_flat
    assert inner.state
    assert not torch.equal(master, torch.full((7,), 1.5))
    forget_empty_step(SimpleNamespace(optimizer=optimizer))
    assert not inner.state
    assert torch.equal(master, torch.full((7,), 1.5))


def test_a_wrapper_with_its_masters_elsewhere_is_refused() -> None:
    strange = type("FP16_Optimizer", (), {})()
    with pytest.raises(TunekitError, match=r"FP16_Optimizer of this DeepSpeed is unknown; set zero\.stage=1"):
        forget_empty_step(SimpleNamespace(optimizer=strange))
