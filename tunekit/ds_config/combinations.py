"""Combinations inside a DeepSpeed configuration that are ignored, refused late, or wrong.

Sources: `deepspeed/runtime/{config,engine}.py`, `runtime/zero/{config,stage_1_and_2,stage3}.py` of 0.19.8. Some are
accepted and ignored without a word (parameter offload and NVMe below stage 3), others end the run after the model was
loaded on every rank.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from tunekit.ds_config.accepted import DEEPSPEED_VERSION
from tunekit.ds_config.presets import PresetFacts, preset_facts
from tunekit.errors import Problem

CPU_OPTIMIZERS = ("adam", "adamw", "adagrad", "lion")
"""Types for which DeepSpeed has an implementation that steps in RAM."""

ZENFLOW_FAULT = f"DeepSpeed {DEEPSPEED_VERSION} scrambles every weight matrix when ZenFlow starts under stage 1 or 2"
"""Seen with real engines: the flat buffer holds the weights transposed and is read back as if it did not.

`_update_model_bit16_weights` of `runtime/zero/stage_1_and_2.py` has done so since 0.19.7 (pull request 8277); 0.19.6 is
right. A contract test shows it on the installed release and will fail when that is repaired.
"""
ZENFLOW_CURE = "zero.preset=z2_offload; ZenFlow itself needs DeepSpeed 0.17.5 to 0.19.6"

_ZERO = "zero_optimization"
_TYPES = {"fp16": "fp16", "float16": "fp16", "half": "fp16", "bf16": "bf16", "bfloat16": "bf16"} | {
    name: "fp32" for name in ("fp32", "float32", "float")
}


def combination_problems(config: Mapping[str, Any]) -> Iterator[Problem]:
    """Every combination of keys that does not do what it says; `where` is left to the caller."""
    facts = preset_facts(config)
    zero = _section(config, _ZERO)
    yield from _stage(zero)
    yield from _offload_and_stage(facts)
    yield from _offload_details(config, facts)
    yield from _super_offload(zero, facts)
    yield from _compressed_gathers(zero, facts)
    yield from _precision(config, facts)
    yield from _optimizer(config, facts)
    yield from _reduction(config, facts)
    yield from _without_effect(config)


def _stage(zero: Mapping[str, Any]) -> Iterator[Problem]:
    stage = zero.get("stage", 0)
    if stage not in (0, 1, 2, 3) or isinstance(stage, bool):
        yield Problem(key=f"{_ZERO}.stage", found=f"found {stage!r}", allowed="0, 1, 2 or 3")
    if zero.get("legacy_stage1") is True:
        yield Problem(key=f"{_ZERO}.legacy_stage1", found="found true", hint="delete it; the engine refuses it")
    if zero.get("elastic_checkpoint") is True and stage == 3:
        hint = "delete it; `tunekit resume` goes on with another number of GPUs by DeepSpeed's universal checkpoint"
        yield Problem(key=f"{_ZERO}.elastic_checkpoint", found="stage 3 no longer supports it", hint=hint)


def _offload_and_stage(facts: PresetFacts) -> Iterator[Problem]:
    stage, raise_stage = facts.stage, 'set "stage": 3'
    if facts.offload_param != "none" and stage < 3:
        yield _needs_three("offload_param", f"parameter offload under stage {stage} is ignored", raise_stage)
    if facts.offload_optimizer == "nvme" and stage < 3:
        found = f"NVMe offload under stage {stage} is ignored"
        yield _needs_three("offload_optimizer.device", found, f'{raise_stage}, or "device": "cpu"')
    if facts.offload_optimizer == "cpu" and stage == 0:
        hint = "set a stage, or delete offload_optimizer"
        yield Problem(
            key=f"{_ZERO}.offload_optimizer", found="stage 0 offloads nothing", allowed="stages 1 to 3", hint=hint
        )
    if facts.offload_ratio < 1 and stage < 3:
        found = f"a ratio of {facts.offload_ratio:g} under stage {stage}"
        yield _needs_three("offload_optimizer.ratio", found, f"{raise_stage}, or delete ratio")


def _needs_three(key: str, found: str, hint: str) -> Problem:
    return Problem(key=f"{_ZERO}.{key}", found=found, allowed="stage 3 only", hint=hint)


def _offload_details(config: Mapping[str, Any], facts: PresetFacts) -> Iterator[Problem]:
    zero = _section(config, _ZERO)
    for name in ("offload_optimizer", "offload_param"):
        section = _section(zero, name)
        device = section.get("device", "none")
        if device not in ("none", "cpu", "nvme"):
            yield Problem(key=f"{_ZERO}.{name}.device", found=f"found {device!r}", allowed="none, cpu or nvme")
        if device == "nvme" and not section.get("nvme_path"):
            hint = "set zero.nvme_path to a folder on a local NVMe drive"
            yield Problem(key=f"{_ZERO}.{name}.nvme_path", found="no folder to swap to", hint=hint)
    if facts.zenflow and facts.offload_optimizer != "cpu":
        yield Problem(key=f"{_ZERO}.zenflow", found="ZenFlow without offload_optimizer", allowed='"device": "cpu"')
    if facts.zenflow and facts.stage not in (1, 2, 3):
        yield Problem(key=f"{_ZERO}.zenflow", found=f"ZenFlow under stage {facts.stage}", allowed="stages 1 to 3")
    if facts.zenflow and facts.stage in (1, 2) and facts.offload_optimizer == "cpu":
        yield Problem(key=f"{_ZERO}.zenflow", found=ZENFLOW_FAULT, hint=ZENFLOW_CURE)
    if zero.get("zero_quantized_nontrainable_weights") is True:
        # Every release up to 0.19.5 reads bf16 weights wrongly here; pull request 8215 is not in a tested release.
        hint = "delete it; for a small frozen base set method.kind=qlora"
        yield Problem(key=f"{_ZERO}.zero_quantized_nontrainable_weights", found="not safe with bf16 weights", hint=hint)


def _super_offload(zero: Mapping[str, Any], facts: PresetFacts) -> Iterator[Problem]:
    """`runtime/superoffload/superoffload_stage3.py`; chosen in `engine.py` under stage 3 only."""
    if _section(zero, "offload_optimizer").get("super_offload") is not True:
        return
    if facts.stage != 3:
        yield _needs_three("offload_optimizer.super_offload", f"ignored under stage {facts.stage}", "delete it")
    elif facts.offload_optimizer != "cpu":
        key, found = "offload_optimizer.super_offload", f"SuperOffload with device {facts.offload_optimizer}"
        yield Problem(key=f"{_ZERO}.{key}", found=found, allowed='"device": "cpu"', hint="or delete super_offload")


def _compressed_gathers(zero: Mapping[str, Any], facts: PresetFacts) -> Iterator[Problem]:
    """ZeRO++ is read by stage 3 alone (`engine.py`, `_configure_zero_optimizer`)."""
    if facts.stage == 3:
        return
    for name in ("zero_quantized_weights", "zero_quantized_gradients"):
        if zero.get(name) is True:
            yield _needs_three(name, f"ignored under stage {facts.stage}", "delete it")
    if _above(zero.get("zero_hpz_partition_size"), 1):
        yield _needs_three("zero_hpz_partition_size", f"ignored under stage {facts.stage}", "delete it")


def _precision(config: Mapping[str, Any], facts: PresetFacts) -> Iterator[Problem]:
    bf16, fp16 = _section(config, "bf16"), _section(config, "fp16")
    if bf16.get("enabled") is True and fp16.get("enabled") is True:
        yield Problem(key="fp16.enabled", found="bf16 and fp16 are both enabled", allowed="one of them")
    master = bf16.get("bf16_master_weights_and_grads") is True
    if facts.bf16_states and not master:
        hint = 'set "bf16_master_weights_and_grads": true'
        yield Problem(key="bf16.bf16_optimizer_states", found="needs bf16_master_weights_and_grads", hint=hint)
    if master and facts.stage == 0:
        yield Problem(key="bf16.bf16_master_weights_and_grads", found="found under stage 0", allowed="stages 1 to 3")
    if (master or facts.bf16_states) and bf16.get("enabled") is not True:
        yield Problem(key="bf16.enabled", found="bf16 states without bf16 training", hint='set "enabled": true')
    yield from _fp16_master(fp16, facts)
    yield from _data_types(config, facts, bf16=bf16.get("enabled") is True, fp16=fp16.get("enabled") is True)
    if master and not facts.bf16_states and facts.offload_optimizer == "none":
        hint = 'set "bf16_optimizer_states": true, or offload the optimizer'
        found = "bf16 master weights with fp32 states need CPU offload"
        yield Problem(key="bf16.bf16_master_weights_and_grads", found=found, hint=hint)


def _fp16_master(fp16: Mapping[str, Any], facts: PresetFacts) -> Iterator[Problem]:
    """Stage 1 to 3 (`runtime/config.py`), and CPU Adam exactly (`stage_1_and_2.py`, `stage3.py`)."""
    if fp16.get("fp16_master_weights_and_grads") is True and (not facts.stage or facts.offload_optimizer == "none"):
        found = f"found true under stage {facts.stage} with offload_optimizer {facts.offload_optimizer}"
        allowed = "stages 1 to 3 with an offloaded AdamW"
        yield Problem(key="fp16.fp16_master_weights_and_grads", found=found, allowed=allowed, hint="delete it")


def _data_types(config: Mapping[str, Any], facts: PresetFacts, *, bf16: bool, fp16: bool) -> Iterator[Problem]:
    """Types that the engine holds against the enabled mode (`engine.py`, `_do_optimizer_sanity_check`)."""
    mode = "bf16" if bf16 else "fp16" if fp16 else None
    types = _section(config, "data_types")
    weights, sums = _TYPES.get(str(types.get("param_dtype"))), _TYPES.get(str(types.get("grad_accum_dtype")))
    if mode and weights and weights != mode:
        hint = "delete it; train.precision says the type"
        yield Problem(key="data_types.param_dtype", found=f"found {weights}, but {mode} is enabled", hint=hint)
    if mode and sums and sums != mode and facts.stage == 0:
        found = f"{sums} under stage 0 with {mode} weights, which the engine refuses"
        yield Problem(key="data_types.grad_accum_dtype", found=found, allowed="stages 1 to 3", hint="delete it")
    if mode and _section(config, "torch_autocast").get("enabled") is True:
        found, allowed = f"autocast beside {mode} weights", "one way to compute in 16 bits"
        hint = "delete it; train.precision says the type"
        yield Problem(key="torch_autocast.enabled", found=found, allowed=allowed, hint=hint)


def _optimizer(config: Mapping[str, Any], facts: PresetFacts) -> Iterator[Problem]:
    block = _section(config, "optimizer")
    kind = str(block.get("type", "")).lower()
    params = _section(block, "params")
    if "max_grad_norm" in params:
        yield Problem(key="optimizer.params.max_grad_norm", found="the engine refuses it", hint="use gradient_clipping")
    if facts.offload_optimizer == "none":
        return
    if kind and kind not in CPU_OPTIMIZERS:
        found = f"{block['type']} cannot step in RAM"
        yield Problem(key="optimizer.type", found=found, allowed="AdamW, Adam, Lion or Adagrad with offload_optimizer")
    if params.get("torch_adam") is True:
        yield Problem(key="optimizer.params.torch_adam", found="torch's Adam with offload_optimizer", hint="delete it")
    if params.get("amsgrad") is True:
        yield Problem(key="optimizer.params.amsgrad", found="CPU Adam has no AMSGrad", hint="delete it")
    if kind not in ("", "adam", "adamw") and facts.offload_ratio < 1:
        found = f"a ratio of {facts.offload_ratio:g} with {block['type']}"
        yield Problem(key="optimizer.type", found=found, allowed="AdamW: a share is stepped by Adam on the card")
    if facts.bf16_states and not kind:
        # accelerate's swap to DeepSpeedCPUAdam does not ask for bf16 moments, and the engine then asserts.
        hint = 'add "optimizer": {"type": "AdamW", "params": {"lr": ...}}'
        found = "offloaded bf16 states need an optimizer block, so that the engine builds CPU Adam itself"
        yield Problem(key="optimizer", found=found, hint=hint)


def _reduction(config: Mapping[str, Any], facts: PresetFacts) -> Iterator[Problem]:
    zero = _section(config, _ZERO)
    clips = config.get("gradient_clipping") not in (None, 0, 0.0)
    simple = facts.stage in (1, 2) and not clips and facts.offload_optimizer == "none"
    if zero.get("compute_grad_norm") is False and not simple:
        allowed = "true, unless stage 1 or 2 runs without clipping and offload"
        yield Problem(key=f"{_ZERO}.compute_grad_norm", found="found false", allowed=allowed)
    summed = str(config.get("gradient_allreduce_op", "mean")).lower() == "sum"
    if summed and (facts.stage == 3 or facts.zenflow):
        yield Problem(key="gradient_allreduce_op", found="sum with stage 3 or ZenFlow", allowed="mean")
    scaled = config.get("prescale_gradients") is True or config.get("gradient_predivide_factor", 1) != 1
    if scaled and facts.stage and zero.get("reduce_scatter", True):
        found = "not possible with zero_optimization.reduce_scatter"
        yield Problem(key="prescale_gradients", found=found, hint="delete it and gradient_predivide_factor")
    if config.get("managed_gradient_accumulation") is False and zero.get("overlap_comm") and facts.stage != 2:
        found = f"found false with overlap_comm under stage {facts.stage}"
        yield Problem(key="managed_gradient_accumulation", found=found, hint="delete it")


def _without_effect(config: Mapping[str, Any]) -> Iterator[Problem]:
    if "activation_checkpointing" in config:
        found = "models of transformers never call DeepSpeed's checkpointing"
        hint = "delete it and set train.activation_checkpointing"
        yield Problem(key="activation_checkpointing", found=found, hint=hint)


def _above(value: Any, limit: int) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and value > limit


def _section(config: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    section = config.get(name)
    return section if isinstance(section, Mapping) else {}
