"""The recipe with every question answered: what is run, in the words of a recipe.

Planned again on the same machine it gives the same job and leaves nothing to decide. Only `data.format` may stay open:
the rows say it, when they are read.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from tunekit.ds_config.presets import load_preset, preset_facts, preset_names
from tunekit.planner.plan import Plan
from tunekit.planner.zero import USED_SIZES
from tunekit.recipe.job import Job, Zero
from tunekit.recipe.keys import all_keys
from tunekit.recipe.loading import as_mapping, dump_yaml
from tunekit.recipe.schema import ZeroSection

_SAID_BY_PRESETS = ("stage", "offload_optimizer", "offload_param", "bf16_states")
_HEADER = "# What is run: the recipe with every answer of the plan written out. plan.json has the reasons.\n"
_OPEN_FORMAT = "# data.format stands in events.jsonl once the rows are read.\n"


def answered_yaml(plan: Plan) -> str:
    """A recipe that loads, and holds no `auto`."""
    values = answered_values(plan)
    return _HEADER + ("" if "format" in values["data"] else _OPEN_FORMAT) + dump_yaml(values)


def answered_values(plan: Plan) -> dict[str, Any]:
    """The same as values by section, without the keys that have no effect on this job."""
    values = as_mapping(plan.recipe)
    for path, answer in _answers(plan):
        section, _, name = path.partition(".")
        values[section][name] = answer
    for key in all_keys().values():
        if key.auto and values[key.section].get(key.name) in (None, "auto"):
            values[key.section].pop(key.name, None)
    return values


def _answers(plan: Plan) -> Iterator[tuple[str, Any]]:
    job = plan.job
    yield "model.attention", job.attention
    if job.adapter:
        yield "method.rank", job.adapter.rank
        yield "method.alpha", job.adapter.alpha
        yield "method.target_modules", list(job.adapter.target_modules)
    yield from ((f"zero.{name}", value) for name, value in _zero(plan.recipe.zero, job))
    yield "data.packing", job.packing
    yield "data.completion_only_loss", job.completion_only_loss
    yield "train.micro_batch_size", job.batch.micro_batch_size
    yield "train.gradient_accumulation_steps", job.batch.gradient_accumulation_steps
    yield "train.global_batch_size", job.batch.global_batch_size
    for name in ("learning_rate", "optimizer", "precision", "activation_checkpointing", "loss"):
        yield f"train.{name}", getattr(job, name)


def _zero(asked: ZeroSection, job: Job) -> Iterator[tuple[str, Any]]:
    zero = job.zero
    yield from _stage(zero) if asked.config is None else ((name, None) for name in _SAID_BY_PRESETS)
    shares = zero.stage == 3 and zero.offload_optimizer != "none"
    yield "offload_ratio", zero.offload_ratio if shares else None
    if (zero.offload_optimizer, zero.offload_param) != ("none", "none"):
        yield "pin_memory", zero.pin_memory
    if zero.stage:
        yield "overlap_comm", zero.overlap_comm
    yield from ((name, getattr(zero, name)) for name in USED_SIZES[zero.stage])


def _stage(zero: Zero) -> Iterator[tuple[str, Any]]:
    """The preset, which says stage and offloads; written out where no preset has them."""
    named = zero.preset in preset_names() and all(
        getattr(preset_facts(load_preset(zero.preset)), name) == getattr(zero, name) for name in _SAID_BY_PRESETS
    )
    yield "preset", zero.preset if named else None
    yield from ((name, None if named else getattr(zero, name)) for name in _SAID_BY_PRESETS)
