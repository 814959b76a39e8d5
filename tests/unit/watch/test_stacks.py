from __future__ import annotations

import json

import pytest

from tunekit.watch.stacks import Frame, RankStack, as_text, read_faulthandler, read_py_spy, silent_ranks, stacks_text

WAIT = Frame(name="all_reduce", file="/venv/torch/distributed/distributed_c10d.py", line=2800)
WRAPPED = Frame(name="wrapper", file="/venv/torch/distributed/c10d_logger.py", line=81)
COMM = Frame(name="all_reduce", file="/venv/deepspeed/comm/torch.py", line=160)
STEP = Frame(name="training_step", file="/venv/transformers/trainer.py", line=1900)
READ = Frame(name="__getitem__", file="/home/me/data.py", line=7)


def rank(number: int, *frames: Frame, state: str = "S") -> RankStack:
    return RankStack(rank=number, pid=100 + number, state=state, frames=frames)


def test_the_rank_outside_the_collective_is_the_silent_one():
    stacks = (rank(0, WAIT, WRAPPED, COMM, STEP), rank(1, READ, STEP, state="R"))
    assert silent_ranks(stacks) == stacks[1:]
    text, todo = stacks_text(stacks)
    assert text == (
        "rank 1 is in __getitem__ (data.py:7); "
        "rank 0 waits in all_reduce (distributed_c10d.py:2800), called from training_step (trainer.py:1900)"
    )
    assert todo == ""


def test_a_halted_rank_is_named_whatever_it_does():
    stacks = (rank(0, READ), rank(1, WAIT, STEP, state="T"))
    assert silent_ranks(stacks) == stacks[1:]
    text, todo = stacks_text(stacks)
    assert text.startswith("rank 1 is stopped by a signal in all_reduce")
    assert todo == "`kill -CONT 101` lets it go on"


def test_a_drive_that_does_not_answer_is_named():
    text, todo = stacks_text((rank(0, WAIT), rank(1, READ, state="D")))
    assert text.startswith("rank 1 waits for a drive or the network in __getitem__")
    assert "dmesg" in todo


def test_ranks_that_all_wait_are_told_with_their_places():
    stacks = (rank(0, WAIT, STEP), rank(1, COMM, READ))
    assert silent_ranks(stacks) == ()
    assert stacks_text(stacks)[0].startswith("rank 0 waits in all_reduce")


def test_ranks_that_all_work_are_told_with_their_places():
    assert silent_ranks((rank(0, READ), rank(1, STEP))) == ()
    assert silent_ranks((rank(0, READ),)) == (rank(0, READ),)


def test_a_stack_that_nobody_could_read():
    text, _ = stacks_text((rank(0, WAIT), rank(1, state="T")))
    assert text.startswith("rank 1 is stopped by a signal at a place that could not be read")
    assert silent_ranks((rank(0, WAIT), rank(1))) == ()


def test_py_spy():
    frames = [{"name": "step", "filename": "/a/b.py", "line": 3, "module": None}]
    threads = [
        {"os_thread_id": 8, "thread_name": "worker", "frames": []},
        {"os_thread_id": 7, "thread_name": "MainThread", "frames": frames},
    ]
    assert read_py_spy(json.dumps(threads), 7) == (Frame(name="step", file="/a/b.py", line=3),)


@pytest.mark.parametrize("text", ["", "Permission denied", "[]", "{}", "3", '[{"os_thread_id": 7}]', "[3]"])
def test_what_py_spy_did_not_say(text):
    assert read_py_spy(text, 7) == ()


DUMP = """loading …
Thread 0x00007f0000000001 (most recent call first):
  File "/a/queue.py", line 1 in get

Current thread 0x00007f0000000002 [python] (most recent call first):
  File "/a/b c.py", line 3 in step
  File "/a/main.py", line 9 in <module>
"""


def test_faulthandler():
    inner, outer = read_faulthandler(DUMP)
    assert inner == Frame(name="step", file="/a/b c.py", line=3)
    assert outer == Frame(name="<module>", file="/a/main.py", line=9)
    later = DUMP.replace("in step", "in later")
    assert read_faulthandler(DUMP + later)[0].name == "later"
    assert read_faulthandler("nothing") == ()
    assert read_faulthandler('  File "x", line 1 in y\n') == ()


def test_kept_as_text_with_whole_paths():
    assert as_text((READ,)) == "  __getitem__ (/home/me/data.py:7)\n"
