"""The batch identity: global = micro x accumulation x world, solved or refused with the numbers.

Any one or two of the three sizes may be left out. Nothing is rounded behind the user's back: a size that does not
divide is a `Problem` that names the nearest values that work.
"""

from __future__ import annotations

from dataclasses import dataclass

from tunekit.errors import Problem
from tunekit.planner.answer import decide
from tunekit.planner.plan import Decision
from tunekit.recipe.job import Batch
from tunekit.recipe.schema import LARGEST, TrainSection

DEFAULT_GLOBAL_BATCH = 16
"""Rows per optimizer step when nobody says: what eight of eleven peer launchers use or come to."""
USUAL_MICRO_BATCH = 8
"""Beyond 8 rows of 2,048 tokens a card gains nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchWish:
    """The three sizes as the recipe has them (None: not written) and the processes that share them."""

    micro: int | None
    accumulation: int | None
    total: int | None
    world_size: int

    @classmethod
    def of(cls, train: TrainSection, world_size: int) -> BatchWish:
        """What the recipe asks, on this many processes."""
        return cls(
            micro=train.micro_batch_size,
            accumulation=train.gradient_accumulation_steps,
            total=train.global_batch_size,
            world_size=world_size,
        )


def check_batch(wish: BatchWish) -> tuple[Problem, ...]:
    """The fault in the three sizes on this many processes, with the nearest values that work; empty when they agree."""
    unit = (wish.micro or 1) * (wish.accumulation or 1) * wish.world_size
    if unit > LARGEST:
        return (_too_large(wish, unit),)
    if wish.total is None:
        return ()
    if wish.micro and wish.accumulation:
        return () if unit == wish.total else (_disagree(wish, unit),)
    return () if wish.total % unit == 0 else (_indivisible(wish, unit),)


def _too_large(wish: BatchWish, product: int) -> Problem:
    key = "train.micro_batch_size" if wish.micro else "train.gradient_accumulation_steps"
    found = f"{product:,} rows per optimizer step on {wish.world_size} processes"
    return Problem(key=key, found=found, allowed=f"at most {LARGEST:,}", hint="write a smaller number")


def _disagree(wish: BatchWish, product: int) -> Problem:
    micro, accumulation, world = wish.micro or 1, wish.accumulation or 1, wish.world_size
    product_text = (
        f"micro_batch_size {micro} x gradient_accumulation_steps {accumulation} x {processes(world)} = {product}"
    )
    steps, rest = divmod(wish.total or 0, micro * world)
    hint = f"write global_batch_size={product}, or leave one of the three out"
    if rest == 0 and steps:
        hint = f"write train.gradient_accumulation_steps={steps} or train.global_batch_size={product}"
    return Problem(
        key="train.global_batch_size",
        found=f"{wish.total}, but {product_text}",
        allowed="global = micro x accumulation x processes",
        hint=hint,
    )


def _indivisible(wish: BatchWish, unit: int) -> Problem:
    factors = _known_factors(wish)
    what = f"{' x '.join(factors)} = {unit}" if len(factors) > 1 else factors[0]
    below = (wish.total or 0) // unit * unit
    nearest = [str(size) for size in (below, below + unit) if size]
    return Problem(
        key="train.global_batch_size",
        found=f"{wish.total} rows cannot be shared by {what}",
        allowed=f"a multiple of {unit}",
        hint=f"nearest that work: {' or '.join(nearest)}",
    )


def _known_factors(wish: BatchWish) -> tuple[str, ...]:
    written = (("micro_batch_size", wish.micro), ("gradient_accumulation_steps", wish.accumulation))
    return (*(f"{name} {size}" for name, size in written if size is not None), processes(wish.world_size))


def micro_candidates(wish: BatchWish, *, largest: int = USUAL_MICRO_BATCH) -> tuple[int, ...]:
    """Micro-batch sizes that keep the identity, largest first; one when the recipe fixes it. Needs `check_batch`."""
    if wish.micro is not None:
        return (wish.micro,)
    rows = -(-(wish.total or DEFAULT_GLOBAL_BATCH) // (wish.world_size * (wish.accumulation or 1)))
    if wish.total is not None and wish.accumulation is not None:
        return (rows,)
    return tuple(size for size in range(largest, 0, -1) if rows % size == 0)


def solve_batch(wish: BatchWish, micro: int) -> Batch:
    """The batch with this micro-batch size. Needs `check_batch` to have found nothing."""
    per_pass = micro * wish.world_size
    if wish.accumulation is not None:
        steps = wish.accumulation
    elif wish.total is not None:
        steps = wish.total // per_pass
    else:
        steps = -(-DEFAULT_GLOBAL_BATCH // per_pass)
    return Batch(micro_batch_size=micro, gradient_accumulation_steps=steps, world_size=wish.world_size)


def batch_decisions(wish: BatchWish, batch: Batch, *, micro_reason: str) -> tuple[Decision, ...]:
    """What was filled in, and why; `micro_reason` says how the micro-batch size was found."""
    micro, steps, world = batch.micro_batch_size, batch.gradient_accumulation_steps, batch.world_size
    decisions = []
    if wish.micro is None:
        decisions.append(decide("train.micro_batch_size", micro, micro_reason))
    if wish.accumulation is None:
        reason = f"{batch.global_batch_size} rows / ({micro} x {processes(world)})"
        decisions.append(decide("train.gradient_accumulation_steps", steps, reason))
    if wish.total is None:
        decisions.append(decide("train.global_batch_size", batch.global_batch_size, _total_reason(wish, batch)))
    return tuple(decisions)


def _total_reason(wish: BatchWish, batch: Batch) -> str:
    if wish.accumulation is not None:
        return f"{batch.micro_batch_size} x {batch.gradient_accumulation_steps} x {processes(batch.world_size)}"
    if batch.global_batch_size == DEFAULT_GLOBAL_BATCH:
        return "the usual size for instruction tuning"
    return f"the first size from {DEFAULT_GLOBAL_BATCH} up that {processes(batch.world_size)} can share"


def processes(count: int) -> str:
    """`1 process`, `2 processes`."""
    return f"{count} process{'' if count == 1 else 'es'}"
