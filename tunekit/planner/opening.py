"""What a recipe states of places and passes, left open again, so that the whole search decides it."""

from __future__ import annotations

from collections.abc import Iterator

from tunekit.planner.change import Setting
from tunekit.recipe.job import Batch
from tunekit.recipe.origin import Origin
from tunekit.recipe.schema import Recipe

PLACES = ("preset", "stage", "offload_optimizer", "offload_param", "offload_ratio", "bf16_states", "pin_memory")
PASSES = ("micro_batch_size", "gradient_accumulation_steps", "activation_checkpointing")
SEARCHED = frozenset((*(f"zero.{name}" for name in PLACES), *(f"train.{name}" for name in PASSES)))
"""Keys that say where states rest and how a batch is passed through; what is learned does not depend on them."""


def opened(origin: Origin, recipe: Recipe, batch: Batch) -> tuple[Setting, ...]:
    """`auto` for each of these keys that the recipe states; () where it states none, or a DeepSpeed JSON does.

    So too for what the file states and a typed word sets aside: without that word it would hold again.
    `batch`: what the recipe says now. Rows per step stay as they are.
    """
    return () if recipe.zero.config is not None else tuple(_opened(origin, recipe, batch))


def _opened(origin: Origin, recipe: Recipe, batch: Batch) -> Iterator[Setting]:
    for section, names in (("zero", PLACES), ("train", PASSES)):
        values = getattr(recipe, section)
        for name in names:
            if getattr(values, name) is not None or origin.states(f"{section}.{name}"):
                yield f"{section}.{name}", "auto"
    if origin.states("zero.config"):
        yield "zero.config", "null"
    if recipe.train.gradient_accumulation_steps is not None and recipe.train.global_batch_size is None:
        yield "train.global_batch_size", batch.global_batch_size
