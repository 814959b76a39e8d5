"""A figure is estimated in the way it was read, and a band is as wide as the source leaves its reading open."""

from __future__ import annotations

from dataclasses import replace

from accuracy.estimating import estimate
from accuracy.mapping import map_row
from accuracy.rows import Row
from accuracy.setting import Setting
from measurement_rows import ROW


def setting(**cells: str) -> Setting:
    found = map_row(Row(cells=ROW | cells))
    assert isinstance(found, Setting), found
    return found


def test_a_reading_left_open_has_a_wider_band():
    told, open_ = setting(), setting(mem_metric="not stated")
    assert open_.open_reading
    assert not told.open_reading
    one, other = estimate(told), estimate(replace(told, open_reading=True))
    assert other.low < one.low < one.expected == other.expected < one.high < other.high


def test_rows_of_changing_length_reserve_more_than_rows_of_one():
    fixed = replace(setting(), reading="reserved")
    changing = replace(fixed, mean_length=3000)
    assert estimate(changing).expected > 1.1 * estimate(fixed).expected


def test_segments_that_grow_reserve_hardly_more_than_is_used():
    used, grows = setting(), replace(setting(), reading="reserved", expandable=True)
    assert 1.0 < estimate(grows).expected / estimate(used).expected < 1.03


def test_what_an_up_cast_has_freed_stays_reserved():
    short = replace(setting(seq_len="64"), reading="reserved", expandable=True)
    upcast = replace(short, states=replace(short.states, frozen_upcast=True))
    more = estimate(upcast).expected - estimate(short).expected
    embedding_and_head = 2 * 32000 * 4096
    assert more > 1.3 * 2 * embedding_and_head


def test_segments_that_cannot_grow_leave_a_full_card_tight():
    grows = [replace(setting(micro_batch=str(rows)), expandable=True) for rows in range(4, 64)]
    fixed = [replace(each, expandable=False) for each in grows]
    assert [each.verdict for each in map(estimate, fixed)].count("tight") > [
        each.verdict for each in map(estimate, grows)
    ].count("tight")
    assert [each.planner_verdict for each in map(estimate, fixed)] == [each.verdict for each in map(estimate, grows)]


def test_weights_are_read_with_the_context_where_the_source_names_it():
    bare = setting(phase="after_model_on_gpu")
    named = replace(bare, outside_bytes=1343 * 2**20)
    assert estimate(named).expected == estimate(bare).expected + 1343 * 2**20


def test_a_band_holds_its_estimate_also_where_the_card_ends_it():
    found = estimate(setting(mem_metric="nvidia-smi memory.used", micro_batch="128"))
    assert found.low <= found.expected <= found.high
    assert found.expected < 90 * 2**30
