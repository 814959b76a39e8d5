"""LoRA on a frozen base, as the plan counted it."""

from __future__ import annotations

import torch
from peft import LoraConfig, PeftModel, get_peft_model
from transformers import PreTrainedModel, set_seed

from tunekit.errors import TunekitError
from tunekit.planner.plan import Plan
from tunekit.recipe.job import Adapter
from tunekit.worker.model import engine_dtype


def add_adapters(model: PreTrainedModel, plan: Plan) -> PreTrainedModel | PeftModel:
    """The model with what is trained marked as such. TunekitError: another number of parameters than planned.

    `prepare_model_for_kbit_training` is not called: it casts norms and embeddings to fp32, which doubles the
    checkpointed activations, and DeepSpeed casts them back.
    """
    if plan.job.adapter is None:
        trained: PreTrainedModel | PeftModel = model
    else:
        # Loading draws random numbers under some stages only; the adapters must start alike under all.
        set_seed(plan.recipe.train.seed)
        config = lora_config(plan.job.adapter)
        revision = plan.recipe.model.revision
        trained = get_peft_model(model, config, autocast_adapter_dtype=False, revision=revision)
        cast_trainable(trained, engine_dtype(plan.job))
    check_count(count_trainable(trained), plan.num_trainable_parameters)
    return trained


def lora_config(adapter: Adapter) -> LoraConfig:
    """PEFT's name for each of our settings."""
    return LoraConfig(
        task_type="CAUSAL_LM",
        r=adapter.rank,
        lora_alpha=adapter.alpha,
        lora_dropout=adapter.dropout,
        target_modules=list(adapter.target_modules),
        modules_to_save=list(adapter.modules_to_save) or None,
        use_rslora=adapter.use_rslora,
        bias="none",
    )


def cast_trainable(model: torch.nn.Module, dtype: torch.dtype) -> None:
    """Adapters in the engine's dtype from the start; their fp32 master copies are DeepSpeed's.

    PEFT leaves them in fp32 on a 4-bit base stored as bytes: ZeRO-3 would then gather two dtypes in one bucket.
    """
    for parameter in model.parameters():
        if parameter.requires_grad:
            parameter.data = parameter.data.to(dtype)


def count_trainable(model: torch.nn.Module) -> int:
    """Trainable elements; a parameter that ZeRO-3 has partitioned counts whole."""
    return sum(numel(parameter) for parameter in model.parameters() if parameter.requires_grad)


def numel(parameter: torch.nn.Parameter) -> int:
    """Elements of the whole parameter, also where this rank holds only a part of it."""
    return int(getattr(parameter, "ds_numel", parameter.numel()))


def check_count(found: int, planned: int) -> None:
    """TunekitError: the memory the plan promised was counted for other parameters."""
    if found != planned:
        raise TunekitError(
            f"{found:,} parameters are trainable, the plan counted {planned:,}: its memory estimate is of another "
            "model. Plan again; if it persists, please report the model and target_modules."
        )
