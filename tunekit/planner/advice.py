"""What is allowed but slow, wasteful or risky on this machine: warnings with their numbers."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import TypeAlias

from tunekit.ds_config.build import owns_optimizer
from tunekit.ds_config.remarks import config_remarks
from tunekit.ds_config.user_file import load_user_config
from tunekit.hardware.checks import lane_warnings, ram_warnings, supply_warnings
from tunekit.memory.estimate import estimate_memory
from tunekit.memory.terms import MemoryEstimate
from tunekit.planner.answer import as_typed
from tunekit.planner.exact import faster_place
from tunekit.planner.pinning import pin_memory, pinned_bytes
from tunekit.planner.plan import Plan, Trust
from tunekit.planner.search import Settled, Trial
from tunekit.planner.settings import zero_settings
from tunekit.planner.steps import few_steps
from tunekit.planner.zero import why
from tunekit.recipe.checks import remarks
from tunekit.recipe.data_length import read_lengths
from tunekit.speed.estimate import estimate_speed
from tunekit.speed.rates import adam_rate
from tunekit.speed.run import wear_words
from tunekit.units import GIB, format_bytes, format_seconds

BF16_FAMILIES = ("llama", "mistral", "mixtral", "qwen2", "qwen3", "gemma", "gemma2", "phi3", "olmo", "olmo2")
"""Families whose weights were trained in bf16 and may overflow in fp16."""
EAGER_TOKENS = 2048
LARGE_BUCKET = 500_000_000
WORTH_SAYING = 1.05
"""A plan that is so many times as fast is worth a change of the recipe."""

Advice: TypeAlias = Callable[[Settled, Trial], Iterator[str]]


def warnings_of(settled: Settled, trial: Trial, trust: Trust) -> tuple[str, ...]:
    """Every warning about a job, most important first."""
    found = [text for advise in ADVICE for text in advise(settled, trial)]
    return (*_faster_rung(settled, trial, trust), *found, *remarks(settled.recipe))


def _faster_rung(settled: Settled, trial: Trial, trust: Trust) -> Iterator[str]:
    """The recipe names a slower way to spread the states than the machine needs."""
    if trial.rung.auto or not trial.fits or not settled.hardware.gpus:
        return
    here, place = estimate_speed(trial.job, settled.shape, settled.hardware), faster_place(settled, trial, trust)
    if here is None or place is None:
        return
    gain = place.speed.tokens_per_second.expected / here.tokens_per_second.expected
    if gain >= WORTH_SAYING:
        words = " ".join(f"{key}={as_typed(value)}" for key, value in zero_settings(place.job))
        reason = why(place.site.rung, settled.hardware)
        yield f"{words} fits too and is {gain - 1:.0%} faster than {trial.rung.preset}: {reason}."


def _rows_beyond_the_model(settled: Settled, trial: Trial) -> Iterator[str]:
    positions = settled.shape.max_positions
    if trial.job.max_seq_length > positions:
        yield (
            f"train.max_seq_length is {trial.job.max_seq_length:,}, but {settled.shape.name} was made for "
            f"{positions:,} positions: expect nonsense beyond them."
        )


def _fp16_for_bf16_models(settled: Settled, trial: Trial) -> Iterator[str]:
    if trial.job.precision == "fp16" and settled.shape.family in BF16_FAMILIES:
        yield (
            f"{settled.shape.family} models were trained in bf16; in fp16 (largest number 65,504) their activations "
            "may overflow: watch for skipped steps and a loss of nan."
        )


def _eager_scores(settled: Settled, trial: Trial) -> Iterator[str]:
    length, heads = trial.job.max_seq_length, settled.shape.num_heads
    if trial.job.attention == "eager" and length > EAGER_TOKENS:
        scores = trial.job.batch.micro_batch_size * heads * length * length * 6
        yield f"eager attention holds {format_bytes(scores)} of scores per layer at {length:,} tokens per row."


def _wasted_boundary(settled: Settled, trial: Trial) -> Iterator[str]:
    zero, batch = trial.job.zero, trial.job.batch
    if zero.offload_optimizer != "cpu" or trial.job.accelerator == "cpu":
        return
    seconds = settled.num_trainable / adam_rate(settled.hardware, bf16=zero.bf16_states).value
    passes = batch.gradient_accumulation_steps
    if passes < 4 and seconds >= 1:
        often = "every pass" if passes == 1 else f"every {passes} passes"
        yield (
            f"The CPU steps the optimizer for about {format_seconds(seconds)} after {often}; "
            "a larger train.global_batch_size pays it less often."
        )


def _swapping(settled: Settled, trial: Trial) -> Iterator[str]:
    speed = estimate_speed(trial.job, settled.shape, settled.hardware)
    if speed is None or not speed.nvme_bytes_per_step:
        return
    said = f"Swapping wears the drive: {wear_words(speed)}"
    # Vendors rate endurance in TB.
    yield f"{said}. Compare that with the endurance your drive is rated for."


def about(seconds: float) -> str:
    """A duration in words, never `0 s`."""
    return f"about {format_seconds(seconds)}" if seconds >= 1 else "less than a second"


def _going_on(settled: Settled, trial: Trial) -> Iterator[str]:
    short = _short_of_ram(trial.memory)
    if short:
        yield f"A run that stops can hardly go on here: {short}."


def _short_of_ram(memory: MemoryEstimate) -> str:
    needed = next((peak.host_bytes for peak in memory.peaks if peak.phase == "resume"), 0)
    usable = memory.host.usable_bytes
    if not needed > usable >= memory.host.expected_bytes:
        return ""
    return (
        f"`tunekit resume` needs {format_bytes(needed)} of RAM, of which {format_bytes(usable)} are usable, as "
        "DeepSpeed reads the optimizer's states beside its buffers"
    )


def resume_shortfall(plan: Plan) -> str:
    """Why a run of this plan that stops could not go on here, did it save checkpoints; empty where it could."""
    saving = replace(plan.job, save_checkpoints=True)
    return _short_of_ram(estimate_memory(saving, plan.model_shape, plan.hardware))


def _locked_ram(settled: Settled, trial: Trial) -> Iterator[str]:
    if settled.recipe.zero.pin_memory:
        locked = pinned_bytes(trial.memory.terms, trial.job.zero.stage)
        choice = pin_memory(settled.hardware, pinned_bytes=locked)
        if settled.hardware.gpus and not choice.value:
            yield f"zero.pin_memory=true: {choice.reason}; it cannot be swapped out. Leave it out to have it decided."


def _large_buckets(settled: Settled, trial: Trial) -> Iterator[str]:
    zero = trial.job.zero
    small_card = min((gpu.usable_bytes for gpu in settled.hardware.gpus), default=0) < 32 * GIB
    if settled.hardware.gpus and small_card and zero.stage and zero.reduce_bucket_size >= LARGE_BUCKET:
        size = format_bytes(2 * zero.reduce_bucket_size * (2 if zero.overlap_comm else 1))
        yield f"zero.reduce_bucket_size {zero.reduce_bucket_size:,} takes {size} of every card; auto takes less."


def _decayed_norms(settled: Settled, trial: Trial) -> Iterator[str]:
    # transformers gives the engine one parameter group (`deepspeed_optim_sched`); its own optimizer has two.
    decay = settled.recipe.train.weight_decay
    spared = sum(tensor.count for tensor in settled.trainable if tensor.role in ("norm", "bias"))
    if decay > 0 and spared and owns_optimizer(settled.recipe, trial.job):
        yield (
            f"train.weight_decay {decay:g} also shrinks the {spared:,} norm and bias tensors that are trained: here "
            "DeepSpeed has the optimizer, with one group for all parameters; the Trainer's own would spare them. Set "
            "train.weight_decay=0, or leave the optimizer to the Trainer: no zero.offload_optimizer, and no optimizer "
            "in a JSON of your own."
        )


def _fp4(settled: Settled, trial: Trial) -> Iterator[str]:
    if trial.job.quantization and trial.job.quantization.kind == "fp4":
        yield "method.quantization fp4 loses more than nf4 at the same size: weights are not spread evenly."


def _machine(settled: Settled, trial: Trial) -> Iterator[str]:
    """What those who build machines at home warn about, where this job feels it."""
    hardware, zero = settled.hardware, trial.job.zero
    offloads = (zero.offload_optimizer, zero.offload_param) != ("none", "none")
    exchanges = len(hardware.gpus) > 1 and (zero.stage == 3 or trial.job.method == "full")
    if offloads or exchanges:
        yield from lane_warnings(hardware)
    if offloads:
        yield from ram_warnings(hardware)
    yield from supply_warnings(hardware)


def _few_steps(settled: Settled, trial: Trial) -> Iterator[str]:
    lengths = read_lengths(settled.recipe.data, settled.shape.vocab_size)
    if text := few_steps(settled.recipe, trial.job, lengths):
        yield text


def _single_quant(settled: Settled, trial: Trial) -> Iterator[str]:
    """Quantising the scales too takes 0.37 bit per parameter less (QLoRA, section 3)."""
    quantization = trial.job.quantization
    tight = trial.judgement.verdict != "fits"
    if quantization and quantization.kind != "int8" and not quantization.double_quant and tight:
        yield "method.double_quant=true would take 0.37 bit less per parameter of the base on every card."


def _own_json(settled: Settled, trial: Trial) -> Iterator[str]:
    """What the user's own DeepSpeed JSON says beyond the recipe."""
    config = settled.recipe.zero.config
    if config is not None:
        yield from config_remarks(load_user_config(config), trial.job, settled.hardware)


def _half_precision_on_amd(settled: Settled, trial: Trial) -> Iterator[str]:
    """`deepspeed/ops/adam/cpu_adam.py` warns of it when it is built."""
    cpu = settled.hardware.host.cpu
    amd = any(word in cpu.lower() for word in ("amd", "ryzen", "epyc", "threadripper"))
    if amd and trial.job.precision == "fp16" and trial.job.zero.offload_optimizer != "none":
        yield (
            f"DeepSpeed warns that its CPU Adam may not work with fp16 weights on AMD processors ({cpu}): set "
            "train.precision=bf16."
        )


ADVICE: tuple[Advice, ...] = (
    _rows_beyond_the_model,
    _few_steps,
    _fp16_for_bf16_models,
    _eager_scores,
    _swapping,
    _wasted_boundary,
    _going_on,
    _locked_ram,
    _large_buckets,
    _decayed_norms,
    _fp4,
    _single_quant,
    _half_precision_on_amd,
    _own_json,
    _machine,
)
