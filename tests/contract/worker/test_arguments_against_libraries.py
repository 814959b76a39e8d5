"""Every argument we write exists in the installed libraries, is not on its way out, and means what we think."""

from __future__ import annotations

import dataclasses
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

import pytest
from transformers.integrations.deepspeed import unset_hf_deepspeed_config
from transformers.training_args import OptimizerNames, TrainingArguments
from trl import SFTConfig

from tests.plans import CPU_BOX, make_plan, make_recipe
from tunekit.launcher.run_dir import RunDir
from tunekit.recipe.schema import Optimizer, Scheduler
from tunekit.worker.arguments import OPTIMIZERS, argument_values, training_arguments

pytestmark = pytest.mark.train
RUN = RunDir(Path("runs/tiny"))
FIELDS = {field.name: field for field in dataclasses.fields(SFTConfig)}
DECIDED = {
    # Left to the library, each of these costs time, memory, disk, or a surprise.
    "activation_checkpointing",
    "activation_checkpointing_kwargs",
    "activation_offloading",
    "average_tokens_across_devices",
    "bf16",
    "completion_only_loss",
    "data_seed",
    "dataloader_drop_last",
    "dataloader_num_workers",
    "dataloader_persistent_workers",
    "dataloader_pin_memory",
    "dataset_kwargs",
    "ddp_timeout",
    "deepspeed",
    "disable_tqdm",
    "eval_packing",
    "eval_strategy",
    "fp16",
    "gradient_accumulation_steps",
    "include_num_input_tokens_seen",
    "learning_rate",
    "logging_first_step",
    "logging_nan_inf_filter",
    "logging_steps",
    "loss_type",
    "lr_scheduler_type",
    "max_grad_norm",
    "max_length",
    "max_steps",
    "num_train_epochs",
    "optim",
    "output_dir",
    "packing",
    "packing_strategy",
    "pad_to_multiple_of",
    "per_device_eval_batch_size",
    "per_device_train_batch_size",
    "prediction_loss_only",
    "push_to_hub",
    "remove_unused_columns",
    "report_to",
    "save_only_model",
    "save_strategy",
    "save_total_limit",
    "seed",
    "skip_memory_metrics",
    "torch_compile",
    "use_cache",
    "use_cpu",
    "warmup_steps",
    "weight_decay",
}


@pytest.fixture(autouse=True)
def _no_deepspeed_left_behind() -> Iterator[None]:
    yield
    unset_hf_deepspeed_config()


def ds_config(plan: Any) -> dict[str, Any]:
    batch = plan.job.batch
    return {
        "train_micro_batch_size_per_gpu": batch.micro_batch_size,
        "gradient_accumulation_steps": batch.gradient_accumulation_steps,
        "gradient_clipping": plan.recipe.train.max_grad_norm,
        "bf16": {"enabled": True},
        "zero_optimization": {"stage": plan.job.zero.stage},
    }


def test_every_name_is_a_field() -> None:
    assert set(argument_values(make_plan(), RUN, {})) - set(FIELDS) == set()


def test_no_field_is_deprecated() -> None:
    written = argument_values(make_plan(), RUN, {})
    old = [name for name in written if "eprecated" in str(FIELDS[name].metadata.get("help", ""))]
    assert old == []
    plan = make_plan(CPU_BOX)
    with warnings.catch_warnings():
        warnings.simplefilter("error", FutureWarning)
        training_arguments(plan, RUN, ds_config(plan))


def test_no_default_that_matters_is_left_to_chance() -> None:
    assert set(argument_values(make_plan(), RUN, {})) >= DECIDED
    assert set(FIELDS) >= DECIDED


def test_the_trainer_takes_every_value_as_it_is() -> None:
    plan = make_plan(CPU_BOX, recipe=make_recipe(output={"save_steps": 5}, train={"eval_steps": 3}), evaluates=True)
    written = argument_values(plan, RUN, ds_config(plan))
    arguments = training_arguments(plan, RUN, ds_config(plan))
    changed = {
        name: (value, getattr(arguments, name))
        for name, value in written.items()
        if name != "deepspeed" and getattr(arguments, name) != value
    }
    assert set(changed) <= {"accelerator_config"}, "a dictionary becomes an object of the same fields"
    assert arguments.hf_deepspeed_config.is_zero2()


def test_recomputing_reaches_the_field_that_transformers_reads() -> None:
    plan = make_plan(CPU_BOX, zero={"stage": 3}, activation_checkpointing=True)
    arguments = training_arguments(plan, RUN, ds_config(plan))
    assert arguments.activation_checkpointing is True
    assert arguments.activation_checkpointing_kwargs == {"use_reentrant": True}
    # TRL changes the old name's dictionary; it must be the same one.
    assert arguments.gradient_checkpointing_kwargs is arguments.activation_checkpointing_kwargs


@pytest.mark.parametrize(("ratio", "steps", "expected"), [(0.03, 10, 1), (0.03, 1000, 30), (0.0, 10, 0)])
def test_any_warm_up_is_one_step_at_least(ratio: float, steps: int, expected: int) -> None:
    arguments = TrainingArguments(output_dir="runs/tiny", warmup_steps=ratio, use_cpu=True)
    assert arguments.get_warmup_steps(steps) == expected


@pytest.mark.parametrize("optimizer", get_args(Optimizer))
def test_every_optimizer_of_a_recipe_is_known(optimizer: Optimizer) -> None:
    assert OptimizerNames(OPTIMIZERS[optimizer])


@pytest.mark.parametrize("scheduler", get_args(Scheduler))
def test_every_scheduler_of_a_recipe_is_known(scheduler: str) -> None:
    arguments = TrainingArguments(output_dir="runs/tiny", lr_scheduler_type=scheduler, use_cpu=True)
    assert arguments.lr_scheduler_type == scheduler
