"""The plan as trainer arguments: the only module that names fields of transformers and TRL.

Every field whose default costs time, memory or a surprise is written, even where the default is what we want today;
`tests/contract` holds each of them against the libraries.
"""

from __future__ import annotations

import copy
import os
from typing import Any

from trl import SFTConfig

from tunekit.ds_config.build import ADAM_BETAS, ADAM_EPS
from tunekit.launcher.run_dir import RunDir
from tunekit.planner.plan import Plan
from tunekit.recipe.schema import Optimizer
from tunekit.worker.loss import MULTIPLE

OPTIMIZERS: dict[Optimizer, str] = {
    # The fused kernel needs no temporaries; foreach would need 8 bytes per parameter of the partition.
    "adamw": "adamw_torch_fused",
    "adamw_8bit": "adamw_8bit",
    "paged_adamw_8bit": "paged_adamw_8bit",
    "adafactor": "adafactor",
    "lion": "lion_32bit",
    "sgd": "sgd",
}
"""Used where the DeepSpeed JSON has no optimizer of its own."""

SECONDS_PER_MINUTE = 60


def training_arguments(plan: Plan, run_dir: RunDir, ds_config: dict[str, Any]) -> SFTConfig:
    """The trainer's arguments; keep them alive, transformers finds DeepSpeed's settings through a weak reference."""
    return SFTConfig(**argument_values(plan, run_dir, ds_config))


def argument_values(plan: Plan, run_dir: RunDir, ds_config: dict[str, Any]) -> dict[str, Any]:
    """Every argument by its library name."""
    return {
        "output_dir": str(run_dir.checkpoints),
        # transformers completes this dictionary in place.
        "deepspeed": copy.deepcopy(ds_config),
        "use_cpu": plan.job.accelerator == "cpu",
        **_batch(plan),
        **_length(plan),
        **_optimizer(plan, ds_config),
        **_precision(plan),
        **_data(plan),
        **_loss(plan),
        **_reports(plan),
        **_evaluation(plan),
        **_checkpoints(plan),
        **_nothing_for_nothing(),
    }


def checkpointing_kwargs(plan: Plan) -> dict[str, Any]:
    """How activations are recomputed, said where transformers 5 looks (TRL forces it in a place it no longer does)."""
    return {"use_reentrant": plan.job.reentrant_checkpointing}


def _batch(plan: Plan) -> dict[str, Any]:
    batch = plan.job.batch
    return {
        "per_device_train_batch_size": batch.micro_batch_size,
        # The default of 8 is what runs out of memory at the first evaluation.
        "per_device_eval_batch_size": batch.micro_batch_size,
        "gradient_accumulation_steps": batch.gradient_accumulation_steps,
        "auto_find_batch_size": False,
    }


def _length(plan: Plan) -> dict[str, Any]:
    train = plan.recipe.train
    return {
        "num_train_epochs": train.num_epochs,
        "max_steps": train.max_steps if train.max_steps is not None else -1,
        "seed": train.seed,
        "data_seed": train.seed,
        "full_determinism": False,
    }


def _optimizer(plan: Plan, ds_config: dict[str, Any]) -> dict[str, Any]:
    train = plan.recipe.train
    # transformers holds its own values against those of the JSON, also where the JSON's optimizer is the one that runs.
    stepped_by_deepspeed = ds_config.get("optimizer", {}).get("params", {})
    betas = stepped_by_deepspeed.get("betas", ADAM_BETAS)
    return {
        "optim": OPTIMIZERS[plan.job.optimizer],
        "learning_rate": plan.job.learning_rate,
        "weight_decay": train.weight_decay,
        "adam_beta1": betas[0],
        "adam_beta2": betas[1],
        "adam_epsilon": stepped_by_deepspeed.get("eps", ADAM_EPS),
        "max_grad_norm": train.max_grad_norm,
        "lr_scheduler_type": train.scheduler,
        # Below 1 it is a share of the steps, rounded up: any warm-up is at least one step.
        "warmup_steps": train.warmup_ratio,
    }


def _precision(plan: Plan) -> dict[str, Any]:
    return {
        "bf16": plan.job.precision == "bf16",
        "fp16": plan.job.precision == "fp16",
        "activation_checkpointing": plan.job.activation_checkpointing,
        "activation_checkpointing_kwargs": checkpointing_kwargs(plan),
        "activation_offloading": False,
        "torch_compile": False,
        "use_cache": False,
    }


def _data(plan: Plan) -> dict[str, Any]:
    workers = plan.job.num_workers
    return {
        "max_length": plan.job.max_seq_length,
        "packing": plan.job.packing,
        "packing_strategy": "bfd",
        "eval_packing": plan.job.packing,
        "padding_free": False,
        "pad_to_multiple_of": MULTIPLE if plan.job.accelerator == "cpu" else None,
        "completion_only_loss": plan.job.completion_only_loss,
        "assistant_only_loss": False,
        # tunekit.worker.data has rendered, tokenised, labelled, cut and packed the rows already.
        "dataset_kwargs": {"skip_prepare_dataset": True},
        # A stream is read by every rank: rows of different lengths cannot be handed out by rank 0.
        "accelerator_config": {"dispatch_batches": False},
        "dataset_num_proc": None,
        "shuffle_dataset": False,
        "dataloader_num_workers": workers,
        "dataloader_persistent_workers": workers > 0,
        "dataloader_pin_memory": plan.job.accelerator == "cuda",
        "dataloader_drop_last": False,
        "remove_unused_columns": True,
        "train_sampling_strategy": "random",
    }


def _loss(plan: Plan) -> dict[str, Any]:
    return {
        "loss_type": "nll",
        "label_smoothing_factor": 0.0,
        "neftune_noise_alpha": None,
        "average_tokens_across_devices": True,
        # Replaces a NaN by the mean of the last losses, and waits for the device at every micro-batch to do so.
        "logging_nan_inf_filter": False,
    }


def _reports(plan: Plan) -> dict[str, Any]:
    return {
        # TensorBoard is written by our own callback, which loads it after the first step.
        "report_to": [name for name in plan.recipe.tracking if name != "tensorboard"],
        "run_name": os.path.basename(plan.recipe.output.dir),
        "logging_strategy": "steps",
        "logging_steps": plan.recipe.train.logging_steps,
        "logging_first_step": True,
        "disable_tqdm": True,
        "log_level": "warning",
        "log_level_replica": "error",
        "include_num_input_tokens_seen": "no",
    }


def _evaluation(plan: Plan) -> dict[str, Any]:
    steps = plan.recipe.train.eval_steps if plan.job.evaluates else None
    return {
        "eval_strategy": "steps" if steps else "no",
        "eval_steps": steps,
        "eval_on_start": False,
        # Otherwise the logits of the whole set are kept on the device.
        "prediction_loss_only": True,
        "batch_eval_metrics": False,
        "load_best_model_at_end": False,
    }


def _checkpoints(plan: Plan) -> dict[str, Any]:
    steps = plan.recipe.output.save_steps
    return {
        "save_strategy": "steps" if steps else "no",
        "save_steps": steps or 500,
        # Ours are removed only after the new one is complete: tunekit.worker.saving.
        "save_total_limit": None,
        "save_only_model": False,
        "enable_jit_checkpoint": False,
        "ignore_data_skip": False,
        "push_to_hub": False,
    }


def _nothing_for_nothing() -> dict[str, Any]:
    return {
        "skip_memory_metrics": True,
        "torch_empty_cache_steps": None,
        "ddp_timeout": int(os.environ.get("DEEPSPEED_TIMEOUT", "30")) * SECONDS_PER_MINUTE,
    }
