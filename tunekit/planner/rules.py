"""Combinations that cannot work, as pure functions from the resolved job to `Problem`s.

Only what needs the preset, the model or the machine stands here; what the recipe alone shows is in `recipe.checks`.
Sources: the code of deepspeed 0.19.8, transformers 5.23, trl 1.16 and bitsandbytes 0.50.2, and runs of them on two
processes; the file named in each docstring is where the library refuses, or accepts and ignores.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TypeAlias

from tunekit.ds_config.combinations import ZENFLOW_CURE, ZENFLOW_FAULT
from tunekit.errors import Problem
from tunekit.hardware.spec import Hardware
from tunekit.model_shape.shape import ModelShape
from tunekit.planner.json_rules import JSON_RULES
from tunekit.recipe.job import Job
from tunekit.recipe.schema import Recipe

CPU_OPTIMIZERS = ("adamw", "lion")
"""Those that DeepSpeed has a CPU version of (`deepspeed/ops/adam`, `deepspeed/ops/lion`)."""
BF16_CAPABILITY = 8.0

Rule: TypeAlias = Callable[[Recipe, Job, ModelShape, Hardware], Iterator[Problem]]


def check_job(recipe: Recipe, job: Job, shape: ModelShape, hardware: Hardware) -> tuple[Problem, ...]:
    """Every rule the job breaks, in the order of the rules; empty when it can run."""
    return tuple(problem for rule in RULES for problem in rule(recipe, job, shape, hardware))


def precision_of_the_card(_recipe: Recipe, job: Job, _shape: ModelShape, hardware: Hardware) -> Iterator[Problem]:
    """bf16 needs compute capability 8.0, fp16 a card at all (`runtime/engine.py`, `_do_sanity_check`)."""
    if job.accelerator == "cpu":
        if job.precision == "fp16":
            yield Problem(
                key="train.precision",
                found="fp16, but the job runs on CPU processes",
                allowed="bf16 or fp32 on a CPU",
                hint="write train.precision=bf16",
            )
        return
    weakest = min(hardware.gpus, key=lambda gpu: gpu.compute_capability)
    if job.precision == "bf16" and weakest.compute_capability < BF16_CAPABILITY:
        yield Problem(
            key="train.precision",
            found=f"bf16, but {weakest.name} has compute capability {weakest.compute_capability}",
            allowed=f"bf16 from {BF16_CAPABILITY} on (RTX 30 and A100)",
            hint="write train.precision=fp16",
        )


def flash_attention(_recipe: Recipe, job: Job, _shape: ModelShape, hardware: Hardware) -> Iterator[Problem]:
    """flash_attention_2 needs a card of capability 8.0 and 16-bit numbers (`transformers/modeling_utils.py`)."""
    if job.attention != "flash_attention_2":
        return
    weakest = min((gpu.compute_capability for gpu in hardware.gpus), default=0.0)
    if weakest < BF16_CAPABILITY:
        machine = f"a card of capability {weakest}" if hardware.gpus else "CPU processes"
        yield Problem(
            key="model.attention",
            found=f"flash_attention_2 on {machine}",
            allowed=f"a card of capability {BF16_CAPABILITY} or more",
            hint="write model.attention=sdpa",
        )
    if job.precision == "fp32":
        yield Problem(
            key="model.attention",
            found="flash_attention_2 with train.precision fp32",
            allowed="bf16 or fp16",
            hint="write model.attention=sdpa, or train.precision=bf16",
        )


def offload_of_the_stage(_recipe: Recipe, job: Job, _shape: ModelShape, _hardware: Hardware) -> Iterator[Problem]:
    """DeepSpeed accepts these below their stage and ignores them (`runtime/zero/offload_config.py`; two processes)."""
    zero = job.zero
    if zero.offload_param != "none" and zero.stage < 3:
        yield _needs_stage("zero.offload_param", zero.offload_param, zero.stage, 3)
    if zero.offload_optimizer == "nvme" and zero.stage < 3:
        yield _needs_stage("zero.offload_optimizer", "nvme", zero.stage, 3)
    if zero.offload_optimizer == "cpu" and zero.stage < 1:
        yield _needs_stage("zero.offload_optimizer", "cpu", zero.stage, 1)
    if zero.offload_ratio < 1 and zero.stage < 3:
        yield _needs_stage("zero.offload_ratio", f"{zero.offload_ratio:g}", zero.stage, 3)
    if zero.bf16_states and zero.stage < 1:
        yield _needs_stage("zero.bf16_states", "true", zero.stage, 1)


def _needs_stage(key: str, value: str, stage: int, least: int) -> Problem:
    return Problem(
        key=key,
        found=f"{value} under ZeRO stage {stage}, where DeepSpeed would ignore or refuse it",
        allowed=f"stage {least}" + ("" if least == 3 else " to 3"),
        hint=f"write zero.stage={max(least, 2)}, or leave {key} out",
    )


def offload_ratio_of_something(_recipe: Recipe, job: Job, _shape: ModelShape, _hardware: Hardware) -> Iterator[Problem]:
    """A share of nothing: the ratio divides what offload_optimizer cpu moves (`runtime/zero/stage3.py`)."""
    zero = job.zero
    if zero.offload_ratio < 1 and zero.offload_optimizer != "cpu":
        yield Problem(
            key="zero.offload_ratio",
            found=f"{zero.offload_ratio:g} with offload_optimizer {zero.offload_optimizer}",
            allowed="offload_optimizer cpu",
            hint="write zero.offload_optimizer=cpu, or leave zero.offload_ratio out",
        )


def nvme_needs_a_path(_recipe: Recipe, job: Job, _shape: ModelShape, _hardware: Hardware) -> Iterator[Problem]:
    """DeepSpeed asserts on a missing path after the model is loaded (`runtime/zero/partition_parameters.py`)."""
    zero = job.zero
    if "nvme" in (zero.offload_optimizer, zero.offload_param) and not zero.nvme_path:
        yield Problem(
            key="zero.nvme_path",
            found=f"not set, but {zero.preset} swaps to NVMe",
            allowed="a folder on a local NVMe drive",
            hint="write zero.nvme_path=/path/on/nvme",
        )


def quantised_base_stays_on_the_card(
    _recipe: Recipe, job: Job, _shape: ModelShape, _hardware: Hardware
) -> Iterator[Problem]:
    """The 4-bit base is built whole on every card before it is split, and PEFT measured offload to need more memory.

    Source: `quantizers/quantizer_bnb_4bit.py`; PEFT `docs/source/accelerate/deepspeed.md`, 70B on two cards.
    """
    if job.quantization and job.zero.offload_param != "none":
        yield Problem(
            key="zero.offload_param",
            found=f"{job.zero.offload_param} ({job.zero.preset}) with a {job.quantization.bits}-bit base: "
            "it saves no GPU memory",
            allowed="none with method.kind qlora",
            hint="write zero.preset=z3_qlora to share the base out, or method.kind=lora to offload it",
        )


def eight_bits_stay_whole(_recipe: Recipe, job: Job, _shape: ModelShape, _hardware: Hardware) -> Iterator[Problem]:
    """On cards ZeRO-3 gathered LLM.int8 weights without their scales, and the loss was ten times too high.

    Source: bitsandbytes issue 1451; scales lie in the state of the layer (`bitsandbytes/nn/modules.py`), not in a
    parameter. Nobody has shown it right on a card since, and 4 bits are shared out.
    """
    if job.quantization and job.quantization.bits == 8 and job.zero.stage == 3:
        yield Problem(
            key="method.quantization",
            found=f"int8 under ZeRO stage 3 ({job.zero.preset}): scales are not gathered with the weights",
            allowed="int8 under stages 0 to 2; nf4 or fp4 under all",
            hint="write method.quantization=nf4, or zero.preset=z2",
        )


def optimizer_of_the_host(_recipe: Recipe, job: Job, _shape: ModelShape, _hardware: Hardware) -> Iterator[Problem]:
    """Offload runs the optimizer on the CPU; only some have such a version (`runtime/engine.py`, `zero/utils.py`)."""
    zero = job.zero
    if zero.offload_optimizer != "none" and job.optimizer not in CPU_OPTIMIZERS:
        yield Problem(
            key="train.optimizer",
            found=f"{job.optimizer} with offload_optimizer {zero.offload_optimizer} ({zero.preset})",
            allowed="adamw or lion when the optimizer is offloaded",
            hint="write train.optimizer=adamw, or a preset without optimizer offload",
        )
    elif zero.offload_ratio < 1 and job.optimizer != "adamw":
        yield Problem(
            key="train.optimizer",
            found=f"{job.optimizer} with offload_ratio {zero.offload_ratio:g} ({zero.preset})",
            allowed="adamw: the share that stays on the cards is stepped by AdamW",
            hint="write train.optimizer=adamw, or zero.offload_ratio=1",
        )
    elif zero.bf16_states and job.optimizer != "adamw":
        yield Problem(
            key="train.optimizer",
            found=f"{job.optimizer} with bf16_states ({zero.preset})",
            allowed="adamw: DeepSpeed builds it itself for bf16 states",
            hint="write train.optimizer=adamw",
        )


def paged_optimizer_needs_cuda(_recipe: Recipe, job: Job, _shape: ModelShape, _hardware: Hardware) -> Iterator[Problem]:
    """Paged states live in CUDA managed memory (`bitsandbytes/functional.py`, `get_paged`)."""
    if job.optimizer == "paged_adamw_8bit" and job.accelerator == "cpu":
        yield Problem(
            key="train.optimizer",
            found="paged_adamw_8bit on CPU processes",
            allowed="an optimizer without CUDA paging",
            hint="write train.optimizer=adamw_8bit or adamw",
        )


def bf16_states_need_bf16(_recipe: Recipe, job: Job, _shape: ModelShape, _hardware: Hardware) -> Iterator[Problem]:
    """`bf16_master_weights_and_grads` is a key of the bf16 block (`runtime/config.py`)."""
    if job.zero.bf16_states and job.precision != "bf16":
        yield Problem(
            key="train.precision",
            found=f"{job.precision} with bf16_states ({job.zero.preset})",
            allowed="bf16",
            hint="write train.precision=bf16, or a preset without bf16 states",
        )


def zenflow_needs_offload(_recipe: Recipe, job: Job, _shape: ModelShape, _hardware: Hardware) -> Iterator[Problem]:
    """ZenFlow splits Adam between GPU and CPU (`runtime/zenflow/zenflow_stage_1_and_2.py`)."""
    zero = job.zero
    if zero.zenflow and zero.offload_optimizer != "cpu":
        yield Problem(
            key="zero.offload_optimizer",
            found=f"{zero.offload_optimizer} with zenflow ({zero.preset})",
            allowed="cpu",
            hint="write zero.preset=z2_zenflow, or take zenflow out of your JSON",
        )


def zenflow_of_this_release(_recipe: Recipe, job: Job, _shape: ModelShape, _hardware: Hardware) -> Iterator[Problem]:
    """The weights are scrambled before the first step (`runtime/zero/stage_1_and_2.py`; real engines)."""
    zero = job.zero
    if zero.zenflow and zero.stage in (1, 2) and zero.offload_optimizer == "cpu":
        yield Problem(
            key="zero.preset", found=ZENFLOW_FAULT, allowed="a preset without zenflow", hint=f"write {ZENFLOW_CURE}"
        )


RULES: tuple[Rule, ...] = (
    flash_attention,
    offload_of_the_stage,
    offload_ratio_of_something,
    nvme_needs_a_path,
    quantised_base_stays_on_the_card,
    eight_bits_stay_whole,
    zenflow_needs_offload,
    zenflow_of_this_release,
    precision_of_the_card,
    bf16_states_need_bf16,
    optimizer_of_the_host,
    paged_optimizer_needs_cuda,
    *JSON_RULES,
)
