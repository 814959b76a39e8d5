from __future__ import annotations

from tunekit.diagnosis.signature import BELIEVED, Signature

SIGNATURE = Signature(
    name="a", pattern=r"^lost (\d+)(?: of (\d+))?", cause="{0} of {1} lost", cure="find {0}", source="a test"
)


def test_hits_hold_the_place_and_the_words():
    one, two = SIGNATURE.hits("lost 3\nnot lost 4\nlost 5 of 6")
    assert (one.place, one.groups, one.cause, one.cure) == (0, ("3", "?"), "3 of ? lost", "find 3")
    assert (two.groups, two.cause) == (("5", "6"), "5 of 6 lost")


def test_what_is_believed_and_in_which_order():
    assert BELIEVED == ("kernel", "exit", "error", "collective")
