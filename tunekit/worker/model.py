"""Tokenizer and base model, from a folder on this disk: no network in the ranks."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer, BitsAndBytesConfig, PreTrainedModel
from transformers import PreTrainedTokenizerBase as Tokenizer

from tunekit.errors import MissingError
from tunekit.hub import local_model_dir
from tunekit.planner.plan import Plan
from tunekit.recipe.job import Job, Quantization
from tunekit.worker.world import World

DTYPES = {"bf16": torch.bfloat16, "fp16": torch.float16, "fp32": torch.float32}


def engine_dtype(job: Job) -> torch.dtype:
    """The dtype that DeepSpeed casts every floating parameter to."""
    return DTYPES[job.precision]


def model_folder(plan: Plan) -> Path:
    """Where the weights lie. MissingError: nowhere on this disk."""
    model = plan.recipe.model
    folder = local_model_dir(model.path, model.revision)
    if folder is None:
        raise MissingError(f"{model.path} is not on this disk; `tunekit launch` fetches it before the ranks start.")
    return folder


def load_tokenizer(plan: Plan, folder: Path) -> Tokenizer:
    """The model's tokenizer, with the recipe's chat template where it names one."""
    tokenizer = AutoTokenizer.from_pretrained(folder, trust_remote_code=plan.recipe.model.trust_remote_code)
    if plan.recipe.model.chat_template is not None:
        tokenizer.chat_template = Path(plan.recipe.model.chat_template).read_text()
    return tokenizer


def load_model(plan: Plan, folder: Path, world: World, *, weights: Path | None = None) -> PreTrainedModel:
    """The base model in the engine's dtype; under ZeRO-3 each rank keeps its part of an unquantised one.

    `weights`: the folder of a checkpoint of the whole model, read instead of `folder`.
    """
    model: PreTrainedModel = AutoModelForCausalLM.from_pretrained(
        weights or folder,
        dtype=engine_dtype(plan.job),
        attn_implementation=plan.job.attention,
        trust_remote_code=plan.recipe.model.trust_remote_code,
        # None lets transformers fall back to pickle files.
        use_safetensors=None if plan.recipe.model.allow_pickle else True,
        **quantized_kwargs(plan.job, world),
    )
    keep_trainable(model)
    # Kept in the config of what is saved, which outlives our cache and this disk.
    model.name_or_path = model.config.name_or_path = base_name(plan, folder)
    return model


def base_name(plan: Plan, folder: Path) -> str:
    """What to call the base when it is loaded again: its hub id, or the folder where it was never on the hub."""
    path = plan.recipe.model.path
    return str(folder.absolute()) if Path(path).expanduser().exists() else path


def keep_trainable(model: PreTrainedModel) -> None:
    """Forbid bitsandbytes to repack 4-bit weights for inference when it sees the model evaluate on a CPU.

    A repacked layer passes no gradient back, and stays repacked when training goes on: after the first evaluation the
    adapters before the last layer would no longer learn, without an error (bitsandbytes 0.50.2, Linear4bit.forward).
    """
    for module in model.modules():
        if hasattr(module, "support_avx512bf16_for_cpu"):
            module.support_avx512bf16_for_cpu = False


def quantized_kwargs(job: Job, world: World) -> dict[str, Any]:
    """What `from_pretrained` needs for a quantised base; nothing for a 16-bit one.

    A quantised base is built whole on each rank's own device, also under ZeRO-3, whose `zero.Init` leaves it out;
    a device_map beside `zero.Init` is refused by transformers, so ZeRO-3 relies on the current device.
    """
    if job.quantization is None:
        return {}
    placed = {} if job.zero.stage == 3 or world.device.type == "cpu" else {"device_map": {"": world.device}}
    return {"quantization_config": quantization_config(job, job.quantization), **placed}


def quantization_config(job: Job, quantization: Quantization) -> BitsAndBytesConfig:
    """transformers' name for each of our settings."""
    if quantization.kind == "int8":
        return BitsAndBytesConfig(load_in_8bit=True)
    return BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type=quantization.kind,
        bnb_4bit_use_double_quant=quantization.double_quant,
        bnb_4bit_compute_dtype=engine_dtype(job),
        bnb_4bit_quant_storage=quant_storage(job),
    )


def quant_storage(job: Job) -> torch.dtype:
    """The dtype that packed 4-bit bytes are stored in.

    DeepSpeed casts every floating parameter to the engine's dtype when it starts: bytes stored as another float
    would be converted as numbers, silently (measured: first loss 6.3418 instead of 6.3147). ZeRO-3 shards floats.
    """
    return engine_dtype(job) if job.zero.stage == 3 and job.precision != "fp32" else torch.uint8
