"""The search: walk the ladder of ZeRO, then fill what is left of the memory with speed.

A rung is first tried in its leanest form (smallest micro-batch, activation checkpointing on). The first rung that fits
both judges is taken; when none does, the first tight one; when none is even tight, the one that comes nearest. Then, if
it fits, the fastest variant that still fits: without recomputation first, then the largest micro-batch.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import product

from tunekit.ds_config.buckets import BucketSizes
from tunekit.errors import Problem
from tunekit.hardware.spec import Hardware
from tunekit.memory.estimate import estimate_memory
from tunekit.memory.llamafactory_table import TableCheck, check_table
from tunekit.memory.terms import MemoryEstimate
from tunekit.model_shape.shape import ModelShape, ParameterTensor
from tunekit.planner.batch import BatchWish, micro_candidates, solve_batch
from tunekit.planner.defaults import answer_completion_only_loss, answer_loss, answer_packing
from tunekit.planner.pinning import pin_memory, pinned_bytes
from tunekit.planner.plan import Trust
from tunekit.planner.rules import check_job
from tunekit.planner.verdict import PLACE_NAMES, Judgement, judge
from tunekit.planner.zero import Placement, Rung, build_zero, rungs
from tunekit.recipe.job import Accelerator, Adapter, Job, Quantization, Samples, Zero
from tunekit.recipe.schema import Attention, Optimizer, Precision, Recipe
from tunekit.units import format_bytes

_ORDER = {"fits": 0, "tight": 1, "rejected": 2}
_RATIOS = (0.2, 0.4, 0.6, 0.8, 1.0)
"""Shares of the optimizer that a preset with partial offload tries, smallest first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Settled:
    """Everything that is known before the search."""

    recipe: Recipe
    shape: ModelShape
    hardware: Hardware
    accelerator: Accelerator
    wish: BatchWish
    adapter: Adapter | None
    trainable: Sequence[ParameterTensor]
    quantization: Quantization | None
    precision: Precision
    attention: Attention
    optimizer: Optimizer
    learning_rate: float
    samples: Samples

    @property
    def num_trainable(self) -> int:
        """Elements of all trainable parameters."""
        return sum(tensor.total for tensor in self.trainable)

    @property
    def placement(self) -> Placement:
        """What the sizes of a rung depend on."""
        return Placement(recipe=self.recipe, shape=self.shape, hardware=self.hardware, trainable=self.trainable)


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """One job that was held against both judges, and what the rules say of it."""

    rung: Rung
    job: Job
    sizes: BucketSizes
    memory: MemoryEstimate
    table: TableCheck
    judgement: Judgement
    problems: tuple[Problem, ...]

    @property
    def preference(self) -> tuple[bool, int, float]:
        """Smaller is better: allowed before forbidden, fits before tight before rejected, nearest miss first."""
        miss = self.judgement.overshoot if self.judgement.verdict == "rejected" else 0.0
        return bool(self.problems), _ORDER[self.judgement.verdict], miss

    @property
    def fits(self) -> bool:
        """Allowed and fitting, high estimate included."""
        return not self.problems and self.judgement.verdict == "fits"


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """The trial that was taken, the rungs passed over on the way, and the faster variants that did not fit."""

    taken: Trial
    passed_over: tuple[Trial, ...]
    too_large: tuple[Trial, ...]


def search(settled: Settled, trust: Trust) -> Outcome:
    """The fastest job that fits, or the one that comes nearest to it."""
    tried: list[Trial] = []
    for rung in rungs(settled.recipe, settled.hardware):
        tried.append(leanest(settled, rung, trust))
        if tried[-1].fits:
            break
    best = min(tried, key=lambda trial: trial.preference)
    taken, too_large = _quicken(settled, best, trust) if best.fits else (best, ())
    return Outcome(taken=taken, passed_over=tuple(trial for trial in tried if trial is not best), too_large=too_large)


def leanest(settled: Settled, rung: Rung, trust: Trust) -> Trial:
    """The rung with the smallest micro-batch, recomputation, and the offload settings that suit the machine best."""
    micro = micro_candidates(settled.wish)[-1]
    trials: list[Trial] = []
    for ratio, pin in product(_ratios(settled, rung), pins(settled, rung)):
        zero, sizes = build_zero(rung, settled.placement, pin_memory=pin, offload_ratio=ratio)
        job = make_job(settled, zero, micro, checkpointing=_written_or(settled, default=True))
        trials.append(try_job(settled, rung, job, sizes, trust))
        if trials[-1].fits and not (pin and locks_too_much(settled, _locked(trials[-1]))):
            break
    # Of two that are equally good the one without page-locking comes last and is taken.
    return min(reversed(trials), key=lambda trial: trial.preference)


def _locked(trial: Trial) -> int:
    return pinned_bytes(trial.memory.terms, trial.job.zero.stage)


def locks_too_much(settled: Settled, locked: int) -> bool:
    """Whether so many bytes had better not be page-locked, where the recipe leaves it open."""
    return settled.recipe.zero.pin_memory is None and not pin_memory(settled.hardware, pinned_bytes=locked).value


def _written_or(settled: Settled, *, default: bool) -> bool:
    wanted = settled.recipe.train.activation_checkpointing
    return default if wanted is None else wanted


def _ratios(settled: Settled, rung: Rung) -> tuple[float, ...]:
    wanted = settled.recipe.zero.offload_ratio
    if wanted is not None:
        return (wanted,)
    return _RATIOS if rung.facts.offload_ratio < 1 else (1.0,)


def pins(settled: Settled, rung: Rung) -> tuple[bool, ...]:
    """What to try for page-locking: what the recipe says, else with it first wherever something is offloaded."""
    wanted = settled.recipe.zero.pin_memory
    if wanted is not None:
        return (wanted,)
    if not rung.offloads or settled.accelerator == "cpu":
        return (False,)
    return (True, False)


def try_job(settled: Settled, rung: Rung, job: Job, sizes: BucketSizes, trust: Trust) -> Trial:
    """Hold a job against both judges and the rules."""
    memory = estimate_memory(job, settled.shape, settled.hardware)
    table = check_table(job, settled.shape, settled.hardware)
    return Trial(
        rung=rung,
        job=job,
        sizes=sizes,
        memory=memory,
        table=table,
        judgement=judge(memory, table, trust),
        problems=check_job(settled.recipe, job, settled.shape, settled.hardware),
    )


def _quicken(settled: Settled, base: Trial, trust: Trust) -> tuple[Trial, tuple[Trial, ...]]:
    too_large: list[Trial] = []
    for checkpointing, micro in _faster(settled, base):
        job = make_job(settled, base.job.zero, micro, checkpointing=checkpointing)
        trial = try_job(settled, base.rung, job, base.sizes, trust)
        if trial.fits:
            return trial, tuple(too_large)
        too_large.append(trial)
    return base, tuple(too_large)


def _faster(settled: Settled, base: Trial) -> Iterator[tuple[bool, int]]:
    """(checkpointing, micro-batch) from the fastest down. Where every pass gathers shards, rows per pass come first."""
    # A CPU is fully busy with one row; more rows per pass only add padding.
    sizes = micro_candidates(settled.wish, largest=1 if settled.accelerator == "cpu" else 8)
    if settled.recipe.train.activation_checkpointing is None:
        gathers = base.job.zero.stage == 3 and settled.accelerator == "cuda"
        yield from ((False, micro) for micro in (sizes[:1] if gathers else sizes))
    yield from ((_written_or(settled, default=True), micro) for micro in sizes)


def make_job(settled: Settled, zero: Zero, micro: int, *, checkpointing: bool, packing: bool | None = None) -> Job:
    """The job with these choices; `packing` None: as the recipe says, or as suits so many tokens."""
    recipe = settled.recipe
    tokens = micro * recipe.train.max_seq_length
    return Job(
        accelerator=settled.accelerator,
        method=recipe.method.kind,
        adapter=settled.adapter,
        quantization=settled.quantization,
        zero=zero,
        batch=solve_batch(settled.wish, micro),
        max_seq_length=recipe.train.max_seq_length,
        packing=_packs(settled, tokens) if packing is None else packing,
        completion_only_loss=answer_completion_only_loss(recipe.data).value,
        precision=settled.precision,
        attention=settled.attention,
        optimizer=settled.optimizer,
        learning_rate=settled.learning_rate,
        activation_checkpointing=checkpointing,
        loss=answer_loss(recipe, settled.shape, settled.hardware, tokens).value,
        evaluates=recipe.data.eval_path is not None or recipe.data.eval_fraction > 0,
        save_checkpoints=recipe.output.save_steps is not None,
        keep_checkpoints=recipe.output.keep_checkpoints,
        num_workers=recipe.data.num_workers,
        samples=settled.samples,
    )


def _packs(settled: Settled, tokens: int) -> bool:
    return answer_packing(settled.recipe, settled.attention, settled.accelerator, tokens).value


def shortfall(trial: Trial) -> str:
    """Why a trial was not taken, with the bytes: `GPU: 31.2 of 23.4 GiB`, or the rule it breaks."""
    if trial.problems:
        return trial.problems[0].found
    worst = trial.judgement.worst
    asked = worst.expected_bytes if worst.missing_bytes > 0 else worst.high_bytes
    by = " by the LLaMA-Factory table" if worst.judge == "table" else ""
    wants = "needs" if worst.missing_bytes > 0 else "may need"
    return f"{PLACE_NAMES[worst.place]} {wants} {format_bytes(asked)} of {format_bytes(worst.usable_bytes)}{by}"


def relaxed(wish: BatchWish) -> BatchWish:
    """The wish without the sizes that contradict each other, so that the other faults can still be found."""
    return replace(wish, accumulation=None, total=None)
