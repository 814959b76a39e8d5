from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.plans import CPU_BOX, DUAL_4090, make_plan, make_recipe
from tunekit.launcher.run_dir import RunDir
from tunekit.planner.plan import Plan
from tunekit.worker.arguments import argument_values, checkpointing_kwargs

pytestmark = pytest.mark.train
RUN = RunDir(Path("runs/tiny"))


def values(plan: Plan, **ds_config: Any) -> dict[str, Any]:
    return argument_values(plan, RUN, ds_config)


def test_the_batch_is_the_plans_also_for_evaluation() -> None:
    found = values(make_plan(CPU_BOX))
    assert found["per_device_train_batch_size"] == found["per_device_eval_batch_size"] == 1
    assert found["gradient_accumulation_steps"] == 2
    assert found["use_cpu"] is True
    assert values(make_plan(DUAL_4090))["use_cpu"] is False


def test_steps_or_epochs() -> None:
    assert values(make_plan(recipe=make_recipe(train={"max_steps": 7})))["max_steps"] == 7
    found = values(make_plan(recipe=make_recipe(train={"num_epochs": 2.5})))
    assert (found["max_steps"], found["num_train_epochs"]) == (-1, 2.5)


def test_warm_up_is_a_share_that_the_trainer_rounds_up() -> None:
    assert values(make_plan(recipe=make_recipe(train={"warmup_ratio": 0.03})))["warmup_steps"] == 0.03


@pytest.mark.parametrize(
    ("precision", "bf16", "fp16"), [("bf16", True, False), ("fp16", False, True), ("fp32", False, False)]
)
def test_precision(precision: Any, bf16: bool, fp16: bool) -> None:
    found = values(make_plan(precision=precision))
    assert (found["bf16"], found["fp16"]) == (bf16, fp16)


@pytest.mark.parametrize(
    ("accelerator", "method", "stage", "reentrant"),
    [
        ("cuda", "full", 3, False),
        ("cuda", "lora", 2, False),
        ("cuda", "lora", 3, True),
        ("cuda", "qlora", 3, True),
        ("cpu", "full", 2, True),
        ("cpu", "lora", 2, True),
    ],
)
def test_who_recomputes_reentrantly(accelerator: Any, method: Any, stage: int, reentrant: bool) -> None:
    plan = make_plan(accelerator=accelerator, method=method, zero={"stage": stage}, activation_checkpointing=True)
    assert checkpointing_kwargs(plan) == {"use_reentrant": reentrant}


def test_checkpoints_only_where_asked() -> None:
    assert values(make_plan())["save_strategy"] == "no"
    found = values(make_plan(recipe=make_recipe(output={"save_steps": 5})))
    assert (found["save_strategy"], found["save_steps"]) == ("steps", 5)
    assert found["save_total_limit"] is None
    assert found["output_dir"] == "runs/tiny/checkpoints"


def test_evaluation_between_steps_only_where_asked() -> None:
    recipe = make_recipe(train={"eval_steps": 5})
    assert values(make_plan(recipe=recipe, evaluates=True))["eval_steps"] == 5
    assert values(make_plan(recipe=recipe, evaluates=False))["eval_strategy"] == "no"
    assert values(make_plan(evaluates=True))["eval_strategy"] == "no"


def test_tensorboard_is_ours_and_wandb_the_librarys() -> None:
    assert values(make_plan())["report_to"] == []
    assert values(make_plan(recipe=make_recipe(tracking=("tensorboard", "wandb"))))["report_to"] == ["wandb"]


def test_betas_follow_an_optimizer_that_deepspeed_steps() -> None:
    found = values(make_plan(), optimizer={"type": "AdamW", "params": {"betas": [0.8, 0.9], "eps": 1e-6}})
    assert (found["adam_beta1"], found["adam_beta2"], found["adam_epsilon"]) == (0.8, 0.9, 1e-6)
    assert (values(make_plan())["adam_beta1"], values(make_plan())["adam_epsilon"]) == (0.9, 1e-8)


def test_the_json_is_copied_because_transformers_completes_it() -> None:
    ds_config = {"zero_optimization": {"stage": 2}}
    found = argument_values(make_plan(), RUN, ds_config)
    found["deepspeed"]["zero_optimization"]["stage"] = 3
    assert ds_config == {"zero_optimization": {"stage": 2}}


def test_collectives_wait_as_long_as_deepspeeds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DEEPSPEED_TIMEOUT", "120")
    assert values(make_plan())["ddp_timeout"] == 7200
