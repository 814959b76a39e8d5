"""How long rows were: packed to one length, changing, much shorter than the maximum, or shared by devices."""

from __future__ import annotations

from accuracy.habits import Habits
from accuracy.lengths import longest, mean_length, packs, splits_rows
from accuracy.rows import Row

CHANGING = Habits(varies=True, mean_length=200)


def row(**cells: str) -> Row:
    return Row(cells={"seq_len": "2048"} | cells)


def test_rows_of_changing_length_have_the_mean_that_is_told_or_the_maximum():
    told = row(seq_semantics="max_length; news (mean 3234 tokens before truncation), padded per batch")
    assert (mean_length(told, CHANGING), longest(told, CHANGING)) == (3234, 2048)
    assert mean_length(row(seq_semantics="max_length"), CHANGING) == 2048
    assert mean_length(told, Habits()) == 0


def test_rows_that_are_much_shorter_than_the_maximum():
    short = row(seq_semantics="max_length; dataset samples usually much shorter unless packed")
    assert (mean_length(short, CHANGING), longest(short, CHANGING)) == (200, 900)
    assert longest(row(seq_semantics=short.text("seq_semantics"), seq_len="512"), CHANGING) == 512


def test_packed_rows_have_one_length():
    packed = row(seq_semantics="max_length; dataset samples usually much shorter unless packed; packing on")
    assert packs(packed, CHANGING)
    assert (mean_length(packed, CHANGING), longest(packed, CHANGING)) == (0, 2048)


def test_devices_share_a_row():
    assert longest(row(parallelism="sequence parallel 4", n_gpus="4"), Habits()) == 512
    script = row(source_path="examples/train/sequence_parallel/long.sh", n_gpus="8")
    assert splits_rows(script)
    assert longest(script, Habits()) == 256


def test_no_length_at_all():
    assert longest(Row(cells={}), Habits()) is None
    assert longest(Row(cells={}), Habits(length=1024)) == 1024
