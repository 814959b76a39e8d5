from __future__ import annotations

import pytest

from tests.failing_logs import accelerate_log, deepspeed_log, torchrun_log
from tunekit.diagnosis.reading import Ended, Log, how_it_ended, stamp_of, voices


@pytest.mark.parametrize(
    ("name", "rank"),
    [
        ("runs/a/logs/rank_1.log", 1),
        ("20261122150033_rank11.log", 11),
        ("torchelastic_x/attempt_0/3/stderr.log", 3),
        ("train.log", None),
        ("rank.log", None),
    ],
)
def test_the_rank_in_a_name(name, rank):
    assert Log(name=name, text="").rank == rank


def test_voices_are_told_apart_by_their_prefixes():
    text = "start\n[rank1]: one\n[default0]:zero\n[rank1]:[E1122 10:00:00.100000 x.cpp:1] again\nend"
    spoken = {voice.rank: voice for voice in voices([Log(name="train.log", text=text)])}
    assert spoken[None].lines == ("start", "end")
    assert spoken[0].lines == ("zero",)
    assert spoken[1].lines == ("one", "[E1122 10:00:00.100000 x.cpp:1] again")
    assert spoken[1].numbers == (1, 3)


def test_of_a_progress_bar_the_present_state_is_read():
    (voice,) = voices([Log(name="rank_2.log", text=" 0%\r 50%\r100%\nnext")])
    assert (voice.rank, voice.lines) == (2, ("100%", "next"))


def test_times_in_lines():
    assert stamp_of("[2026-11-22 10:10:02,500] step") - stamp_of("2026-11-22T10:10:01") == 1.5
    assert stamp_of("E1122 10:15:32.123456 4200 x.py:1]") > stamp_of("[rank1]:[E1122 10:15:31.123456789 x.cpp:1]")
    assert stamp_of("step 3") is None
    assert stamp_of("2026-99-99 10:00:00") is None
    (voice,) = voices([Log(name="a", text="2026-11-22 10:10:02\nstep\nstep")])
    assert [*voice.written_at([0, 2])] == [stamp_of("2026-11-22 10:10:02")] * 2


def test_lines_of_places_in_the_text_and_the_times_before_them():
    (voice,) = voices([Log(name="a", text="one\n2026-11-22 10:10:02 two\n\nfour\n2026-11-22 10:10:05 five\nsix")])
    lines = voice.text.split("\n")
    starts = [sum(len(line) + 1 for line in lines[:index]) for index in range(len(lines))]
    assert [voice.line_at(start) for start in starts] == [0, 1, 2, 3, 4, 5]
    assert voice.line_at(starts[3] - 1) == 2
    assert voice.line_at(len(voice.text)) == 5
    early, late = stamp_of("2026-11-22 10:10:02"), stamp_of("2026-11-22 10:10:05")
    assert [*voice.written_at(range(6))] == [None, early, early, early, late, late]
    assert [*voice.written_at([3, 5])] == [early, late]


@pytest.mark.parametrize(
    ("text", "ended"),
    [
        (deepspeed_log("", code=-9), Ended(rank=1, code=-9)),
        (torchrun_log("", code=-6, rank=0), Ended(rank=0, code=-6)),
        (accelerate_log("", code=1), Ended(rank=1, code=1)),
        ("subprocess.CalledProcessError: Command '[]' died with <Signals.SIGKILL: 9>.", Ended(code=-9)),
        ("returned non-zero exit status 3.", Ended(code=3)),
        ("E1122 failed (exitcode: -9) local_rank: 2 (pid: 7)", Ended(rank=2, code=-9)),
        ("[launch.py:356:main] Process 4243 exits successfully.", Ended(finished=True)),
        ("['python'] exits with return code = 0", Ended()),
        ("step 3", Ended()),
    ],
)
def test_how_launchers_say_that_it_ended(text, ended):
    assert how_it_ended(text) == ended


def test_the_signal_in_a_code():
    assert (Ended(code=-9).signal, Ended(code=1).signal, Ended().signal) == (9, None, None)


BAR = " 12%|#2        | 61/500 [02:02<14:38,  2.00s/it]"


@pytest.mark.parametrize("before", ["", "\r 12%|#2        | 60/500 [02:00<14:40,  2.00s/it]\r"])
def test_a_rank_that_speaks_in_the_line_of_a_progress_bar(before):
    text = f"{before}{BAR}[rank1]: Traceback (most recent call last):\n[rank1]: KeyError: 3\r\n{BAR}Killed\n"
    spoken = {voice.rank: voice for voice in voices([Log(name="train.log", text=text)])}
    assert spoken[1].lines == ("Traceback (most recent call last):", "KeyError: 3")
    assert spoken[None].lines == (BAR, BAR, "Killed", "")
    assert spoken[1].numbers == (1, 2)


def test_what_a_bar_is_written_over_is_no_bar():
    (voice,) = voices([Log(name="a", text=f"KeyError: 3\r{BAR}\r{BAR}\n")])
    assert voice.lines == ("KeyError: 3", BAR, "")
