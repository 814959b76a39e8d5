from dataclasses import replace

import pytest
from memory_jobs import job

from tunekit.recipe.job import Job, Samples
from tunekit.speed.habits import Habits
from tunekit.speed.lengths import mean_length, positions_per_step, row_length, tokens_per_step, useful_share


def measured(mean: int, micro: int = 1, *, packing: bool = False) -> Job:
    """Rows of up to 2,048 tokens."""
    return replace(job(packing=packing, micro=micro), samples=Samples(mean_tokens=mean, source="a test"))


def test_packed_rows_are_full_however_short_the_samples_are() -> None:
    packed = measured(60, 4, packing=True)
    assert (mean_length(packed), row_length(packed)) == (2048, 2048)
    assert tokens_per_step(packed) == positions_per_step(packed) == packed.batch.global_batch_size * 2048
    assert useful_share(packed).expected == 1.0


def test_a_row_that_is_not_packed_holds_one_sample() -> None:
    assert row_length(measured(60)) == 60
    assert tokens_per_step(measured(60)) == 60 * measured(60).batch.global_batch_size
    assert mean_length(measured(9000)) == 2048


@pytest.mark.parametrize(("mean", "longest"), [(60, 90), (1024, 1536), (2048, 2048), (1800, 1924)])
def test_rows_are_padded_to_the_longest_of_their_pass(mean: int, longest: int) -> None:
    asked = measured(mean, 3)
    assert row_length(asked) == longest
    assert positions_per_step(asked) == asked.batch.global_batch_size * longest


def test_where_nobody_knows_lengths_are_spread_from_none_to_the_longest() -> None:
    assert mean_length(job(packing=False)) == 1024
    assert mean_length(job(packing=False), Habits(full_rows=True)) == 2048
    share = useful_share(job(packing=False, micro=4))
    assert (share.low, share.expected, share.high) == (0.5, 0.625, 1.0)


def test_what_is_learned_from_lies_between_waiting_times_and_equal_lengths() -> None:
    share = useful_share(measured(60, 4))
    assert (share.low, share.expected, share.high) == (pytest.approx(12 / 25), pytest.approx(0.625), 1.0)
    assert useful_share(measured(2048, 4)).low == 1.0
    assert useful_share(measured(60)).expected == 1.0
