"""`settle`: what of a job is known before any search, the decisions made on the way, and the faults found."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from tunekit.errors import Problem, RecipeError
from tunekit.hardware.spec import Hardware
from tunekit.model_shape.adapters import trainable_tensors
from tunekit.model_shape.shape import ModelShape
from tunekit.planner.answer import Answer
from tunekit.planner.batch import BatchWish, check_batch
from tunekit.planner.defaults import (
    accelerator_of,
    answer_adapter,
    answer_attention,
    answer_learning_rate,
    answer_optimizer,
    answer_precision,
    answer_quantization,
)
from tunekit.planner.plan import Decision
from tunekit.planner.samples import samples_of
from tunekit.planner.search import Settled, relaxed
from tunekit.recipe.job import Adapter
from tunekit.recipe.schema import Recipe


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
        samples=samples_of(recipe, shape.vocab_size),
    )
    answers: tuple[Answer[object], ...] = (precision, attention, optimizer, learning_rate)
    return settled, (*decisions, *_made(answers)), (*faults, *clashes)


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


def _made(answers: tuple[Answer[object], ...]) -> Iterator[Decision]:
    return (answer.decision for answer in answers if answer.decision is not None)
