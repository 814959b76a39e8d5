from __future__ import annotations

import os

import pytest

from tests.plans import make_plan
from tests.runs import TRACEBACK, write_json, write_run
from tunekit.diagnosis import cause as causes
from tunekit.diagnosis.cause import ENDED_AS_ASKED, Cause
from tunekit.launcher.told import all_ended_as_asked, launchers_words, told_by

LOST = TRACEBACK.replace("ValueError: the loss is not a number", "RuntimeError: Read error: Connection reset by peer")


@pytest.fixture
def run_dir(tmp_path):
    return write_run(tmp_path / "run", make_plan())


def write_log(run_dir, rank, text, *, moment=1000):
    run_dir.rank_log(rank).write_text(text)
    os.utime(run_dir.rank_log(rank), (moment, moment))


def record(run_dir, rank, traceback):
    write_json(run_dir.failure, {"rank": rank, "traceback": traceback})


def find_cause(run_dir, *, world_size, **seen):
    told = told_by(run_dir, world_size)
    return causes.find_cause(told, world_size=world_size, otherwise=launchers_words(run_dir), **seen)


def last(cause):
    return cause.rank, cause.lines[-1].partition(":")[0]


def test_the_record_is_the_cause(run_dir):
    record(run_dir, 1, TRACEBACK)
    write_log(run_dir, 0, LOST)
    assert last(find_cause(run_dir, world_size=2)) == (1, "ValueError")


def test_a_rank_that_lost_its_peer_was_not_first(run_dir):
    record(run_dir, 0, LOST)
    write_log(run_dir, 0, LOST, moment=1000)
    write_log(run_dir, 1, f"step 3\n{TRACEBACK}", moment=2000)
    assert last(find_cause(run_dir, world_size=2)) == (1, "ValueError")


def test_the_log_that_ended_first_comes_first(run_dir):
    write_log(run_dir, 0, TRACEBACK.replace("ValueError", "KeyError"), moment=2000)
    write_log(run_dir, 1, TRACEBACK, moment=1000)
    assert last(find_cause(run_dir, world_size=2)) == (1, "ValueError")


def test_a_peer_that_said_nothing_was_killed(run_dir):
    record(run_dir, 0, LOST)
    write_log(run_dir, 1, "step 3\n")
    assert find_cause(run_dir, world_size=2) == Cause(rank=1, silent=True)
    assert find_cause(run_dir, world_size=4, gone_first=3) == Cause(rank=3, silent=True)


def test_what_was_seen_counts_more_than_what_others_say(run_dir):
    """The survivor's words may be any; a signal that was seen is a fact."""
    record(run_dir, 0, TRACEBACK)
    assert find_cause(run_dir, world_size=2, gone_first=1, by_signal=True) == Cause(rank=1, silent=True)
    write_log(run_dir, 1, "Fatal Python error: Segmentation fault\n\nCurrent thread 0x1 (most recent call first):\n")
    cause = find_cause(run_dir, world_size=2, gone_first=1, by_signal=True)
    assert (cause.rank, cause.silent, cause.lines[0]) == (1, False, "Fatal Python error: Segmentation fault")


def test_only_consequences_are_better_than_nothing(run_dir):
    record(run_dir, 0, LOST)
    write_log(run_dir, 1, LOST)
    assert last(find_cause(run_dir, world_size=2)) == (0, "RuntimeError")


def test_who_ended_as_asked_says_so_in_its_log(run_dir):
    assert not all_ended_as_asked(run_dir, 2, gone_first=None)
    write_log(run_dir, 0, f"{TRACEBACK}step 4\n{ENDED_AS_ASKED}\n[W] a library's farewell\n")
    assert find_cause(run_dir, world_size=2) == Cause(rank=1, silent=True)
    assert not all_ended_as_asked(run_dir, 2, gone_first=None), "the other one said nothing"
    write_log(run_dir, 1, LOST)
    assert all_ended_as_asked(run_dir, 2, gone_first=None)
    assert all_ended_as_asked(run_dir, 2, gone_first=0)
    assert not all_ended_as_asked(run_dir, 2, gone_first=1), "it was asked because the other one had failed"
    write_log(run_dir, 1, TRACEBACK)
    assert last(find_cause(run_dir, world_size=2)) == (1, "ValueError")
    assert not all_ended_as_asked(run_dir, 2, gone_first=None)
    write_log(run_dir, 1, f"{ENDED_AS_ASKED}\n")
    assert all_ended_as_asked(run_dir, 2, gone_first=None)
    for rank in (0, 1):
        write_log(run_dir, rank, LOST)
    assert not all_ended_as_asked(run_dir, 2, gone_first=None), "nobody was asked"


def test_nobody_said_anything(run_dir):
    assert find_cause(run_dir, world_size=2, gone_first=1) == Cause(rank=1, silent=True)
    run_dir.launcher_log.write_text("[INFO] starting\nRuntimeError: no GPU\n")
    assert find_cause(run_dir, world_size=2) == Cause(lines=("RuntimeError: no GPU",))


def test_a_destructor_is_never_the_cause(run_dir):
    noise = "Exception ignored in: <function DeepSpeedCPUAdam.__del__ at 0x7f>\nTraceback (most recent call last):\n"
    noise += "  File \"cpu_adam.py\", line 1, in __del__\nAttributeError: no attribute 'ds_opt_adam'\n"
    write_log(run_dir, 0, noise + TRACEBACK)
    assert last(find_cause(run_dir, world_size=2)) == (0, "ValueError")
    write_log(run_dir, 0, noise)
    assert told_by(run_dir, 2) == []


def test_lines_that_only_point_are_left_out(run_dir):
    record(run_dir, 0, "Traceback:\n  x = f(y)\n      ^^^~~~\nValueError: no\n")
    assert find_cause(run_dir, world_size=1).lines == ("Traceback:", "  x = f(y)", "ValueError: no")
