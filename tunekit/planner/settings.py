"""The keys of a recipe that make its open job a certain job."""

from __future__ import annotations

from tunekit.ds_config.presets import PresetFacts, load_preset, preset_facts, preset_names
from tunekit.planner.change import Setting
from tunekit.recipe.job import Job, Zero

_STATED = ("stage", "offload_optimizer", "offload_param", "bf16_states")


def settings_of(job: Job) -> tuple[Setting, ...]:
    """The keys that make a recipe's open job this job: what was searched, and nothing that follows from it."""
    found: list[Setting] = [("method.kind", job.method)]
    if job.quantization is not None:
        found.append(("method.double_quant", job.quantization.double_quant))
    found += zero_settings(job)
    found += [
        ("data.packing", job.packing),
        ("train.micro_batch_size", job.batch.micro_batch_size),
        ("train.optimizer", job.optimizer),
        ("train.activation_checkpointing", job.activation_checkpointing),
    ]
    return tuple(found)


def zero_settings(job: Job) -> list[Setting]:
    """The preset, or its values where no preset has them; the share that is offloaded, and what the machine decides."""
    zero = job.zero
    whole = zero.offload_ratio == 1
    found: list[Setting] = [("zero.preset", zero.preset)]
    if zero.preset not in preset_names() or not _is(zero, preset_facts(load_preset(zero.preset))):
        names = ("stage", "offload_optimizer", "offload_param", *(("bf16_states",) if zero.stage else ()))
        found = [(f"zero.{name}", getattr(zero, name)) for name in names]
    if not whole:
        found.append(("zero.offload_ratio", zero.offload_ratio))
    if (zero.offload_optimizer, zero.offload_param) != ("none", "none"):
        found.append(("zero.pin_memory", zero.pin_memory))
    return found


def _is(zero: Zero, facts: PresetFacts) -> bool:
    same = all(getattr(zero, name) == getattr(facts, name) for name in _STATED)
    return same and (zero.offload_ratio < 1) == (facts.offload_ratio < 1)
