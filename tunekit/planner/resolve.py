"""From recipe, model and machine to a `Job`: every question answered, every answer explained, every fault reported."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

from tunekit.ds_config.user_file import adopt_user_config
from tunekit.errors import Problem, RecipeError
from tunekit.hardware.spec import Hardware
from tunekit.model_shape.adapters import trainable_tensors
from tunekit.model_shape.shape import ModelShape
from tunekit.planner.answer import Answer, decide
from tunekit.planner.batch import BatchWish, batch_decisions, check_batch, micro_candidates
from tunekit.planner.defaults import (
    accelerator_of,
    answer_adapter,
    answer_attention,
    answer_completion_only_loss,
    answer_learning_rate,
    answer_loss,
    answer_optimizer,
    answer_packing,
    answer_precision,
    answer_quantization,
)
from tunekit.planner.pinning import pinning
from tunekit.planner.plan import Decision, Trust
from tunekit.planner.search import Outcome, Settled, Trial, relaxed, search, shortfall
from tunekit.planner.zero import contradiction_problems, why, zero_decisions
from tunekit.recipe.job import Adapter
from tunekit.recipe.keys import all_keys
from tunekit.recipe.schema import Recipe


@dataclass(frozen=True, slots=True, kw_only=True)
class Resolved:
    """A job with how it was found.

    `asked` is the recipe as it was given; `settled.recipe` also has what the user's own DeepSpeed JSON states.
    `early` are the decisions made before the search.
    """

    asked: Recipe
    settled: Settled
    outcome: Outcome
    early: tuple[Decision, ...]

    @property
    def trial(self) -> Trial:
        """The job that was taken, weighed."""
        return self.outcome.taken


def resolve(recipe: Recipe, shape: ModelShape, hardware: Hardware, trust: Trust = "both") -> Resolved:
    """Find the job. Raises RecipeError with every combination that cannot work on this model and machine."""
    stated = adopt_user_config(recipe)
    settled, early, faults = settle(stated, shape, hardware)
    outcome = search(settled, trust)
    faults += (*contradiction_problems(outcome.taken.rung, stated.zero), *outcome.taken.problems)
    if faults:
        raise RecipeError(_in_schema_order(_from_file(fault, recipe, stated) for fault in faults))
    return Resolved(asked=recipe, settled=settled, outcome=outcome, early=early)


def _from_file(fault: Problem, asked: Recipe, stated: Recipe) -> Problem:
    """The fault, told to stand in the user's own DeepSpeed JSON where only that states the value."""
    name, _, key = fault.key.partition(".")
    section, filled = getattr(asked, name, None), getattr(stated, name, None)
    if getattr(section, key, None) == getattr(filled, key, None):
        return fault
    return replace(fault, where=str(asked.zero.config))


def decisions_of(found: Resolved) -> tuple[Decision, ...]:
    """A decision for every value the user left open, in the order of the recipe's keys."""
    return _in_recipe_order((*found.early, *_searched(found.settled, found.outcome)))


def settle(
    recipe: Recipe, shape: ModelShape, hardware: Hardware
) -> tuple[Settled, tuple[Decision, ...], tuple[Problem, ...]]:
    """What needs no search, the decisions made on the way, and the faults found."""
    adapter, decisions, faults = _adapter(recipe, shape)
    wish = BatchWish.of(recipe.train, hardware.world_size)
    clashes = check_batch(wish)
    precision = answer_precision(recipe.train.precision, hardware)
    attention = answer_attention(recipe.model.attention, shape)
    optimizer = answer_optimizer(recipe.train.optimizer)
    learning_rate = answer_learning_rate(recipe, shape)
    settled = Settled(
        recipe=recipe,
        shape=shape,
        hardware=hardware,
        accelerator=accelerator_of(hardware),
        wish=relaxed(wish) if clashes else wish,
        adapter=adapter,
        trainable=trainable_tensors(shape, recipe.method.kind, adapter),
        quantization=answer_quantization(recipe.method),
        precision=precision.value,
        attention=attention.value,
        optimizer=optimizer.value,
        learning_rate=learning_rate.value,
    )
    answers: tuple[Answer[object], ...] = (precision, attention, optimizer, learning_rate)
    return settled, (*decisions, *_decisions(answers)), (*faults, *clashes)


def _adapter(recipe: Recipe, shape: ModelShape) -> tuple[Adapter | None, tuple[Decision, ...], tuple[Problem, ...]]:
    """The adapter, its decisions and its faults; with faults, a plain adapter, so that the others are found too."""
    try:
        adapter, decisions = answer_adapter(recipe.method, shape)
        faults: tuple[Problem, ...] = ()
    except RecipeError as error:
        adapter, decisions = answer_adapter(_all_targets(recipe).method, shape)
        faults = error.problems
    try:
        trainable_tensors(shape, recipe.method.kind, adapter)
    except RecipeError as error:
        faults += error.problems
        adapter = replace(adapter, dropout=0.0, modules_to_save=()) if adapter else None
    return adapter, decisions, faults


def _all_targets(recipe: Recipe) -> Recipe:
    """The recipe with adapters on every linear layer."""
    return recipe.model_copy(update={"method": recipe.method.model_copy(update={"target_modules": "all-linear"})})


def _decisions(answers: Iterable[Answer[object]]) -> Iterator[Decision]:
    return (answer.decision for answer in answers if answer.decision is not None)


def _searched(settled: Settled, outcome: Outcome) -> Iterator[Decision]:
    trial = outcome.taken
    job, recipe = trial.job, settled.recipe
    tokens = job.tokens_per_device
    yield from _rung_decisions(settled, outcome)
    yield from zero_decisions(job.zero, trial.sizes, settled.placement)
    yield from batch_decisions(settled.wish, job.batch, micro_reason=_micro_reason(settled, outcome))
    if recipe.train.activation_checkpointing is None:
        yield _checkpointing_decision(outcome)
    packing = answer_packing(recipe, job.attention, job.accelerator, tokens)
    loss = answer_loss(recipe, settled.shape, settled.hardware, tokens)
    yield from _decisions((packing, loss, answer_completion_only_loss(recipe.data)))


def _rung_decisions(settled: Settled, outcome: Outcome) -> Iterator[Decision]:
    trial, zero = outcome.taken, settled.recipe.zero
    if trial.rung.auto:
        rejected = (f"{other.rung.preset}: {shortfall(other)}" for other in outcome.passed_over)
        yield decide("zero.preset", trial.rung.preset, why(trial.rung, settled.hardware), rejected=rejected)
    if trial.rung.offloads and zero.pin_memory is None:
        choice = pinning(trial.job, settled.shape, settled.hardware)
        yield decide("zero.pin_memory", trial.job.zero.pin_memory, choice.reason)
    if trial.rung.facts.offload_ratio < 1 and zero.offload_ratio is None:
        reason = "the smallest share of the optimizer that must leave the GPUs"
        yield decide("zero.offload_ratio", trial.job.zero.offload_ratio, reason)


def _micro_reason(settled: Settled, outcome: Outcome) -> str:
    micro = outcome.taken.job.batch.micro_batch_size
    candidates = micro_candidates(settled.wish)
    if len(candidates) == 1:
        return "the only size that keeps the batch identity"
    if settled.accelerator == "cpu":
        return "a CPU is busy with one row; more would only add padding"
    larger = [trial for trial in outcome.too_large if trial.job.batch.micro_batch_size > micro]
    if larger:
        nearest = larger[-1]
        return f"the largest that fits; with {nearest.job.batch.micro_batch_size} the {shortfall(nearest)}"
    if outcome.taken.fits:
        return "the largest that shares the batch out evenly"
    return "the smallest: memory decides"


def _checkpointing_decision(outcome: Outcome) -> Decision:
    taken = outcome.taken.job
    key = "train.activation_checkpointing"
    if not taken.activation_checkpointing:
        flop = "6 instead of 8" if taken.method == "full" else "4 instead of 6"
        return decide(key, False, f"all activations fit: {flop} FLOP per parameter and token")
    without = [trial for trial in outcome.too_large if not trial.job.activation_checkpointing]
    if without:
        gain = "1.33" if taken.method == "full" else "1.5"
        reason = f"without it (up to {gain} times faster) the {shortfall(without[-1])}"
        return decide(key, True, reason, rejected=(f"off: {shortfall(without[-1])}",))
    return decide(key, True, "activations are recomputed in backward; memory decides")


def _in_schema_order(problems: Iterable[Problem]) -> tuple[Problem, ...]:
    return tuple(sorted(dict.fromkeys(problems), key=lambda problem: _position(problem.key)))


def _in_recipe_order(decisions: Iterable[Decision]) -> tuple[Decision, ...]:
    return tuple(sorted(decisions, key=lambda decision: _position(decision.key)))


def _position(key: str) -> int:
    keys = tuple(all_keys())
    return keys.index(key) if key in keys else len(keys)
