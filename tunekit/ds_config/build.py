"""The DeepSpeed configuration of a plan: a preset, or the user's own JSON, with every number filled in.

Who owns what. The scheduler is always the Hugging Face Trainer's. The optimizer is the Trainer's too, unless it steps
in RAM: then the JSON names it and DeepSpeed builds its CPU version, because accelerate's swap
(`accelerate/utils/deepspeed.py`, `map_pytorch_optim_to_deepspeed`) loses betas, eps and bf16 states. A JSON optimizer
with the Trainer's scheduler is a supported pair (`transformers/integrations/deepspeed.py`, `deepspeed_optim_sched`).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tunekit.ds_config.combinations import CPU_OPTIMIZERS
from tunekit.ds_config.presets import load_preset, preset_names
from tunekit.ds_config.user_file import load_user_config
from tunekit.errors import Problem, RecipeError
from tunekit.memory.partitions import partition_sizes
from tunekit.model_shape.shape import ModelShape
from tunekit.recipe.job import Job
from tunekit.recipe.schema import Recipe

ADAM_BETAS = (0.9, 0.999)
ADAM_EPS = 1e-8
_QUIET = 1_000_000
"""Steps between two lines of DeepSpeed's own log; the worker reports instead."""
_AIO = {
    "block_size": 2**20,
    "queue_depth": 8,
    "intra_op_parallelism": 1,
    "single_submit": False,
    "overlap_events": True,
    "use_gds": False,
}
_NVME: Mapping[str, Mapping[str, Any]] = {
    "offload_optimizer": {"buffer_count": 4, "pipeline_read": False, "pipeline_write": False, "fast_init": False},
    "offload_param": {"buffer_count": 5, "max_in_cpu": 100_000_000},
}
"""Swap buffers: Adam needs four; `max_in_cpu` elements stay in RAM beside their file (DeepSpeed's default: 1e9)."""
_STAGE_THREE_ONLY = ("sub_group_size", "stage3_")


def build_ds_config(
    recipe: Recipe, job: Job, shape: ModelShape, *, base: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """DeepSpeed's JSON for a job: every number concrete, no "auto", the batch identity holding.

    `base` is filled instead of the preset (or the user's JSON) that `job.zero.preset` names. RecipeError: the optimizer
    cannot step in RAM but is offloaded, or the user's JSON has faults.
    """
    start = dict(base) if base is not None else base_config(recipe, job)
    ours: dict[str, Any] = {
        "train_batch_size": job.batch.global_batch_size,
        "train_micro_batch_size_per_gpu": job.batch.micro_batch_size,
        "gradient_accumulation_steps": job.batch.gradient_accumulation_steps,
        "gradient_clipping": recipe.train.max_grad_norm,
        "steps_per_print": start["steps_per_print"] if recipe.zero.config and "steps_per_print" in start else _QUIET,
        "wall_clock_breakdown": start.get("wall_clock_breakdown", False),
        **_precision(job, _section(start, "bf16"), _section(start, "fp16")),
        **_optimizer(recipe, job, start),
        "zero_optimization": _zero(job, shape, _section(start, "zero_optimization")),
    }
    if "nvme" in (job.zero.offload_optimizer, job.zero.offload_param):
        ours["aio"] = {**_AIO, **_section(start, "aio")}
    owned = {*ours, "bf16", "fp16", "optimizer", "zero_force_ds_cpu_optimizer", "aio"}
    return {**ours, **{key: value for key, value in start.items() if key not in owned}}


def base_config(recipe: Recipe, job: Job) -> dict[str, Any]:
    """What is filled: the user's JSON, the preset, or nothing when stage and offloads were written out."""
    if recipe.zero.config is not None:
        return load_user_config(recipe.zero.config)
    return load_preset(job.zero.preset) if job.zero.preset in preset_names() else {}


def optimizer_block(recipe: Recipe, job: Job) -> dict[str, Any] | None:
    """The `optimizer` section where the JSON owns the optimizer: it steps in RAM. None where the Trainer owns it.

    Lion keeps DeepSpeed's betas (0.9, 0.99): the Trainer holds those of the JSON against its Adam's.
    """
    if job.zero.offload_optimizer == "none":
        return None
    params: dict[str, Any] = {"lr": job.learning_rate, "weight_decay": recipe.train.weight_decay}
    if job.optimizer == "adamw":
        return {"type": "AdamW", "params": {**params, "betas": list(ADAM_BETAS), "eps": ADAM_EPS}}
    if job.optimizer == "lion":
        return {"type": "Lion", "params": params}
    raise RecipeError([_cannot_offload(job)])


def owns_optimizer(recipe: Recipe, job: Job) -> bool:
    """Whether the JSON, not the Trainer, has the optimizer: it steps in RAM, or the user's own JSON names one."""
    theirs = recipe.zero.config is not None and bool(_section(load_user_config(recipe.zero.config), "optimizer"))
    return theirs or job.zero.offload_optimizer != "none"


def swap_buffer_elements(shape: ModelShape, world_size: int) -> int:
    """`offload_param.buffer_size`: one buffer must hold the largest partition of a parameter; aligned to 1024."""
    largest = max(partition_sizes(shape.tensors, world_size))
    return -(-largest // 1024) * 1024


def _cannot_offload(job: Job) -> Problem:
    return Problem(
        key="train.optimizer",
        found=f"{job.optimizer} cannot step in RAM, and zero.offload_optimizer is {job.zero.offload_optimizer}",
        allowed="adamw or lion",
        hint="train.optimizer=adamw, or zero.offload_optimizer=none",
    )


def _optimizer(recipe: Recipe, job: Job, start: Mapping[str, Any]) -> dict[str, Any]:
    theirs = _section(start, "optimizer") if recipe.zero.config is not None else {}
    ours = optimizer_block(recipe, job)
    if ours is None and not theirs:
        return {"zero_allow_untested_optimizer": True}
    # The user's own JSON may give the optimizer to DeepSpeed without offload too; its betas and the like are its own.
    kind = theirs.get("type") or (ours or {})["type"]
    params = {**_section(ours or {}, "params"), **_without_auto(_section(theirs, "params"))}
    params |= {"lr": job.learning_rate, "weight_decay": recipe.train.weight_decay}
    forced = {"zero_force_ds_cpu_optimizer": True} if job.zero.offload_optimizer != "none" else {}
    tested = kind.lower() in CPU_OPTIMIZERS
    return {"optimizer": {"type": kind, "params": params}, "zero_allow_untested_optimizer": not tested, **forced}


def _precision(job: Job, bf16: Mapping[str, Any], fp16: Mapping[str, Any]) -> dict[str, Any]:
    if job.precision == "fp16":
        return {"fp16": {**_FP16, **_without_auto(fp16), "enabled": True}}
    extras = {key: value for key, value in _without_auto(bf16).items() if not key.startswith("bf16_")}
    states = {"bf16_master_weights_and_grads": True, "bf16_optimizer_states": True} if job.zero.bf16_states else {}
    return {"bf16": {**extras, "enabled": job.precision == "bf16", **states}}


_FP16 = {
    "auto_cast": False,
    "loss_scale": 0,
    "initial_scale_power": 16,
    "loss_scale_window": 1000,
    "hysteresis": 2,
    "min_loss_scale": 1,
}
"""Dynamic loss scaling from 2^16, DeepSpeed's defaults written out."""


def _zero(job: Job, shape: ModelShape, start: Mapping[str, Any]) -> dict[str, Any]:
    zero = job.zero
    settings: dict[str, Any] = {"stage": zero.stage, "overlap_comm": zero.overlap_comm}
    if zero.stage:
        settings |= _switches(start, "contiguous_gradients", "reduce_scatter")
        settings |= {"reduce_bucket_size": zero.reduce_bucket_size}
    if zero.stage in (1, 2):
        settings |= _switches(start, "allgather_partitions") | {"allgather_bucket_size": zero.allgather_bucket_size}
    if zero.stage == 3:
        settings |= _stage_three(job)
    settings |= _offloads(job, shape, start)
    if zero.zenflow:
        settings["zenflow"] = _zenflow(job, _section(start, "zenflow"))
    return {**settings, **_kept(start, settings, zero.stage)}


def _switches(start: Mapping[str, Any], *names: str) -> dict[str, Any]:
    """Switches that are on unless the file turns them off; written out, so that no default decides."""
    return {name: start[name] if start.get(name, "auto") != "auto" else True for name in names}


def _kept(start: Mapping[str, Any], settings: Mapping[str, Any], stage: int) -> dict[str, Any]:
    """What the file says beyond the plan; never an offload that the plan does not have, nor sizes of another stage."""
    gone = {*settings, "offload_optimizer", "offload_param", "zenflow"}
    if stage != 3:
        gone |= {key for key in start if key.startswith(_STAGE_THREE_ONLY)}
    return {key: value for key, value in _without_auto(start).items() if key not in gone}


def _stage_three(job: Job) -> dict[str, Any]:
    zero = job.zero
    return {
        "stage3_prefetch_bucket_size": zero.prefetch_bucket_size,
        "stage3_param_persistence_threshold": zero.param_persistence_threshold,
        "sub_group_size": zero.sub_group_size,
        "stage3_max_live_parameters": zero.max_live_parameters,
        "stage3_max_reuse_distance": zero.max_reuse_distance,
        # A whole 16-bit model is gathered for the final save; adapters are gathered alone, without this key.
        "stage3_gather_16bit_weights_on_model_save": job.method == "full",
    }


def _offloads(job: Job, shape: ModelShape, start: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    zero, sections = job.zero, {}
    for name, device in (("offload_optimizer", zero.offload_optimizer), ("offload_param", zero.offload_param)):
        if device == "none":
            continue
        section: dict[str, Any] = {**_NVME[name]} if device == "nvme" else {}
        section |= _without_auto(_section(start, name)) | {"device": device, "pin_memory": zero.pin_memory}
        sections[name] = section | ({"nvme_path": zero.nvme_path} if device == "nvme" else {})
    if zero.offload_optimizer != "none" and zero.offload_ratio < 1:
        sections["offload_optimizer"] |= {"ratio": zero.offload_ratio}
    if zero.offload_param == "nvme":
        sections["offload_param"] |= {"buffer_size": swap_buffer_elements(shape, job.batch.world_size)}
    return sections


def _zenflow(job: Job, start: Mapping[str, Any]) -> dict[str, Any]:
    """The engine takes `update_interval` for its accumulation steps, so it is the plan's; columns change every 4."""
    steps = job.batch.gradient_accumulation_steps
    chosen = {"select_strategy": "step", "select_interval": 4 * steps, "update_interval": steps}
    return {"topk_ratio": 0.1, "overlap_step": False, **_without_auto(start), **chosen}


def _without_auto(section: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in section.items() if value != "auto"}


def _section(config: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    section = config.get(name)
    return section if isinstance(section, Mapping) else {}
