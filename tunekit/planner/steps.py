"""How many optimizer steps a run has, where its data can be read here: too few of them teach nothing."""

from __future__ import annotations

from math import ceil

from tunekit.recipe.data_length import Lengths
from tunekit.recipe.job import Job
from tunekit.recipe.schema import Recipe

FEW = 10
"""Steps of a run below which a model has hardly seen its learning rate: warm-up and decay take as many."""


def expected_steps(recipe: Recipe, job: Job, lengths: Lengths | None, *, packing: bool | None = None) -> int | None:
    """About how many steps `train.num_epochs` make; None where `train.max_steps` says it or no data are here.

    Counted as transformers' Trainer does; rows that are packed are taken as full. 0: less than one, which the worker
    refuses.
    """
    counted = _rows(recipe, job, lengths, job.packing if packing is None else packing)
    if counted is None or recipe.train.max_steps is not None:
        return None
    if counted[1] * recipe.train.num_epochs < job.batch.global_batch_size:
        return 0
    return ceil(_per_epoch(counted[1], job) * recipe.train.num_epochs)


def few_steps(recipe: Recipe, job: Job, lengths: Lengths | None) -> str:
    """A warning where a run has hardly any steps, with the numbers and what makes more of them; else empty."""
    steps, counted = expected_steps(recipe, job, lengths), _rows(recipe, job, lengths, job.packing)
    if steps is None or counted is None or steps >= FEW:
        return ""
    samples, rows = counted
    if not steps:
        return _less_than_a_step(recipe, job, lengths, rows)
    packed = f" packed into {_count(rows, 'row')} of {job.max_seq_length:,} tokens" if job.packing else ""
    each = f"{job.batch.global_batch_size} rows a step"
    return (
        f"The run has about {_count(steps, 'optimizer step')} in all, which teaches little: "
        f"{_count(samples, 'sample')}{packed}, {each}. {_remedies(recipe, job, lengths, rows)}."
    )


def _less_than_a_step(recipe: Recipe, job: Job, lengths: Lengths | None, rows: int) -> str:
    epochs, batch = recipe.train.num_epochs, job.batch.global_batch_size
    times = f" x {epochs:g} epochs" if epochs != 1 else ""
    return (
        f"A launch would refuse these data: about {_count(rows, 'row')}{times} of {job.max_seq_length:,} tokens are "
        f"less than one optimizer step of {batch:,} rows. {_remedies(recipe, job, lengths, rows)}."
    )


def _count(number: int, what: str) -> str:
    return f"{number:,} {what}{'' if number == 1 else 's'}"


def _remedies(recipe: Recipe, job: Job, lengths: Lengths | None, rows: int) -> str:
    # All together must be a batch at least, or the worker refuses them.
    epochs = max(ceil(FEW / _per_epoch(rows, job)), ceil(job.batch.global_batch_size / rows))
    ways = [f"train.num_epochs={epochs} goes through the data more often"]
    steps, single = (expected_steps(recipe, job, lengths, packing=each) for each in (None, False))
    if single is not None and steps is not None and single > steps:
        ways.append(f"data.packing=false makes {_count(single, 'step')} of single samples")
    if smaller := _smaller_batch(recipe, job):
        ways.append(f"{smaller} steps more often")
    return "; ".join(ways)


def _smaller_batch(recipe: Recipe, job: Job) -> str:
    """The keys that make the batch of a step as small as a pass; with both sizes written, both must change."""
    if job.batch.gradient_accumulation_steps == 1:
        return ""
    train, least = recipe.train, job.batch.micro_batch_size * job.batch.world_size
    keys = ["train.gradient_accumulation_steps=1"] if train.gradient_accumulation_steps is not None else []
    if train.global_batch_size is not None or not keys:
        keys.append(f"train.global_batch_size={least}")
    return " ".join(keys)


def _rows(recipe: Recipe, job: Job, lengths: Lengths | None, packing: bool) -> tuple[int, int] | None:
    """Samples that are learned from, and the rows that they make."""
    if lengths is None:
        return None
    kept = 1.0 if recipe.data.eval_path is not None else 1.0 - recipe.data.eval_fraction
    samples = max(1, round(kept * lengths.rows))
    if not packing:
        return samples, samples
    # Plain text that is packed is not cut: the worker lets it go on in the next row.
    cut = lengths.total(job.max_seq_length) if lengths.templated else sum(lengths.tokens)
    packed = max(1, ceil(samples * cut / len(lengths.tokens) / job.max_seq_length))
    return samples, min(samples, packed) if lengths.templated else packed


def _per_epoch(rows: int, job: Job) -> int:
    batch = job.batch
    passes = ceil(rows / (batch.micro_batch_size * batch.world_size))
    return max(1, ceil(passes / batch.gradient_accumulation_steps))
