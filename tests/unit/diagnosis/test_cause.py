from __future__ import annotations

from tunekit.diagnosis.cause import Cause, find_cause, is_consequence

LOST = Cause(rank=0, lines=("Traceback", "RuntimeError: Connection reset by peer"))
OWN = Cause(rank=1, lines=("Traceback", "ValueError: no"))


def test_who_only_lost_a_peer_was_not_first():
    assert find_cause([LOST, OWN], world_size=2) == OWN
    assert is_consequence(LOST)
    assert not is_consequence(OWN)


def test_who_said_nothing_was_gone():
    assert find_cause([LOST], world_size=2) == Cause(rank=1, silent=True)
    assert find_cause([LOST], world_size=4, gone_first=3) == Cause(rank=3, silent=True)


def test_a_signal_that_was_seen_is_a_fact():
    assert find_cause([OWN], world_size=2, gone_first=0, by_signal=True) == Cause(rank=0, silent=True)
    assert find_cause([LOST, OWN], world_size=2, gone_first=1, by_signal=True) == OWN


def test_only_consequences_are_better_than_nothing_and_the_launcher_better_than_nobody():
    lost_too = Cause(rank=1, lines=LOST.lines)
    assert find_cause([LOST, lost_too], world_size=2) == LOST
    assert find_cause([], world_size=2, gone_first=1) == Cause(rank=1, silent=True)
    assert find_cause([], world_size=2, otherwise=("no GPU",)) == Cause(lines=("no GPU",))
