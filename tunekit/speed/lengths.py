"""How long rows are: tokens that are learned from, and positions that are computed, padding included."""

from __future__ import annotations

from tunekit.recipe.job import Job
from tunekit.speed.habits import WORKER, Habits
from tunekit.speed.terms import Band


def mean_length(job: Job, habits: Habits = WORKER) -> float:
    """Tokens of a row on average: all of it when packed; half of the longest where nobody knows the samples."""
    longest = job.max_seq_length
    if job.packing or habits.full_rows:
        return longest
    return longest / 2 if job.samples is None else min(longest, job.samples.mean_tokens)


def row_length(job: Job, habits: Habits = WORKER) -> int:
    """Positions of a row, padded to the longest of its pass.

    Lengths are taken as spread evenly around their mean, as far as 0 and the longest allow: h = min(mean, longest -
    mean) to both sides. The longest of m such rows is mean + h (m - 1) / (m + 1).
    """
    return max(1, round(_padded(job, habits)))


def _padded(job: Job, habits: Habits) -> float:
    rows, mean = job.batch.micro_batch_size, mean_length(job, habits)
    return mean + min(mean, job.max_seq_length - mean) * (rows - 1) / (rows + 1)


def tokens_per_step(job: Job, habits: Habits = WORKER) -> int:
    """Tokens that an optimizer step learns from, over all processes."""
    return max(1, round(job.batch.global_batch_size * mean_length(job, habits)))


def positions_per_step(job: Job, habits: Habits = WORKER) -> int:
    """Positions that an optimizer step computes, over all processes, padding included."""
    return job.batch.global_batch_size * row_length(job, habits)


def useful_share(job: Job, habits: Habits = WORKER) -> Band:
    """Share of the positions that hold a token: 1 with packed or full rows, or one row a pass.

    Expected with lengths that are spread evenly, as `row_length` has them. From 1 / (1 + 1/2 + ... + 1/m) of lengths
    that are spread like waiting times, which are cut at the longest, to 1 of equal ones.
    """
    rows, mean = job.batch.micro_batch_size, mean_length(job, habits)
    if job.packing or habits.full_rows or rows == 1:
        return Band(low=1.0, expected=1.0, high=1.0)
    waiting = 1.0 / sum(1.0 / number for number in range(1, rows + 1))
    expected = mean / _padded(job, habits)
    return Band(low=min(expected, max(waiting, mean / job.max_seq_length)), expected=expected, high=1.0)
