"""Is the engine the one the plan promised? transformers falls back to plain data parallelism without a word."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from tunekit.errors import TunekitError
from tunekit.planner.plan import Plan
from tunekit.recipe.job import Job

ENGINE = "DeepSpeedEngine"
_STEPS_EMPTY = ("FP16_UnfusedOptimizer", "FP16_Optimizer")
"""Stage 0 in 16 bits: the second where the user's own JSON names AdamW, which on a card is DeepSpeed's fused one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fact:
    """One property of the engine: as planned and as found."""

    name: str
    planned: Any
    found: Any

    def __str__(self) -> str:
        return f"{self.name}: planned {self.planned}, found {self.found}"


def check_engine(engine: Any, plan: Plan) -> dict[str, Any]:
    """What the engine is, by name. TunekitError: another engine, stage, placement or batch than planned."""
    kind = type(engine).__name__
    if kind != ENGINE:
        raise TunekitError(
            f"training would run without DeepSpeed: the trainer's model is a {kind}, not a {ENGINE}. "
            "The torch build and DS_ACCELERATOR must match the device; run `tunekit doctor`."
        )
    facts = engine_facts(engine, plan.job)
    wrong = [str(fact) for fact in facts if fact.planned != fact.found]
    if wrong:
        raise TunekitError("the DeepSpeed engine is not the planned one: " + "; ".join(wrong) + ".")
    return {"engine": kind, **{fact.name: fact.found for fact in facts}}


def engine_facts(engine: Any, job: Job) -> list[Fact]:
    """The properties that decide memory and the batch."""
    batch = job.batch
    pairs = {
        "stage": (job.zero.stage, engine.zero_optimization_stage()),
        "offload_optimizer": (job.zero.offload_optimizer, optimizer_place(engine)),
        "offload_param": (job.zero.offload_param, parameter_place(engine)),
        "dtype": (_dtype_name(job), str(next(engine.module.parameters()).dtype).removeprefix("torch.")),
        "micro_batch_size": (batch.micro_batch_size, engine.train_micro_batch_size_per_gpu()),
        "gradient_accumulation_steps": (batch.gradient_accumulation_steps, engine.gradient_accumulation_steps()),
        "world_size": (batch.world_size, engine.dp_world_size),
    }
    if job.zero.zenflow:
        pairs.pop("gradient_accumulation_steps")  # ZenFlow puts its update interval there
    return [Fact(name=name, planned=planned, found=found) for name, (planned, found) in pairs.items()]


def optimizer_place(engine: Any) -> str:
    """Where the optimizer's states really are: its own flags, not the configuration it was given."""
    optimizer = engine.optimizer
    if getattr(optimizer, "swap_optimizer", False):
        return "nvme"
    offloads = getattr(optimizer, "cpu_offload", False) or getattr(optimizer, "offload_optimizer", False)
    return "cpu" if offloads else "none"


def parameter_place(engine: Any) -> str:
    """Where partitioned parameters really rest, as they say themselves."""
    if getattr(engine.optimizer, "params_in_nvme_and_cpu", False):
        return "nvme"
    return "cpu" if getattr(engine.optimizer, "offload_param", False) else "none"


def forget_empty_step(engine: Any) -> None:
    """Undo the step with zero gradients that DeepSpeed's stage 0 takes to create the optimizer's states.

    It counts as Adam's first: the real first step is then corrected for two, 0.74 of what every other stage takes, and
    weight decay has been applied once (`deepspeed/runtime/fp16/{unfused,fused}_optimizer.py`,
    initialize_optimizer_states). TunekitError: the wrapper of a DeepSpeed that keeps its master weights elsewhere.
    """
    optimizer = engine.optimizer
    if type(optimizer).__name__ not in _STEPS_EMPTY:
        return
    pairs = tuple(_masters(optimizer))
    if not pairs:
        raise TunekitError(f"{type(optimizer).__name__} of this DeepSpeed is unknown; set zero.stage=1.")
    optimizer.optimizer.state.clear()
    for master, weight in pairs:
        master.data.copy_(weight.data)


def _masters(optimizer: Any) -> Iterator[tuple[Any, Any]]:
    """(32-bit copy, what the model computes with): a pair per parameter, or per group where they lie in one piece."""
    if hasattr(optimizer, "fp32_groups_flat"):
        return zip(optimizer.fp32_groups_flat, optimizer.fp16_groups_flat, strict=True)
    groups = zip(getattr(optimizer, "fp32_groups", ()), getattr(optimizer, "fp16_groups", ()), strict=True)
    return (pair for masters, weights in groups for pair in zip(masters, weights, strict=True))


def _dtype_name(job: Job) -> str:
    return {"bf16": "bfloat16", "fp16": "float16", "fp32": "float32"}[job.precision]
