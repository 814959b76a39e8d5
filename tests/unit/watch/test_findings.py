from __future__ import annotations

from tunekit.watch.findings import Finding, Noted, follow, sentence

HOT = Finding(rule="temperature", place="GPU 0", text="GPU 0 is at 90 °C", todo="cool it")
FULL = Finding(rule="disk", place="output", text="no space", stops=True)


def said(*looks: tuple[Finding, ...]) -> list[list[tuple[str, str]]]:
    noted, found = Noted(), []
    for look in looks:
        noted, changes = follow(noted, look)
        found.append([(change, finding.rule) for change, finding in changes])
    return found


def test_a_finding_is_said_once_when_two_looks_show_it_and_once_when_it_is_over():
    looks = said((HOT,), (HOT,), (HOT,), (), (HOT,), (), (), ())
    assert looks == [[], [("began", "temperature")], [], [], [], [], [("ended", "temperature")], []]


def test_a_single_look_is_noise():
    assert said((HOT,), (), (HOT,), ()) == [[], [], [], []]


def test_what_stops_the_run_is_said_at_once():
    assert said((FULL,)) == [[("began", "disk")]]


def test_each_place_is_a_finding_of_its_own():
    other = Finding(rule="temperature", place="GPU 1", text="GPU 1 is at 91 °C")
    assert said((HOT,), (HOT, other), (HOT, other)) == [
        [],
        [("began", "temperature")],
        [("began", "temperature")],
    ]


def test_other_numbers_are_the_same_finding():
    warmer = Finding(rule="temperature", place="GPU 0", text="GPU 0 is at 92 °C")
    assert said((HOT,), (warmer,)) == [[], [("began", "temperature")]]


def test_sentences():
    assert sentence(HOT.event()) == "GPU 0 is at 90 °C; cool it"
    assert sentence(HOT.event("ended")) == "over: GPU 0 is at 90 °C"
    assert sentence(FULL.event()) == "no space"
    assert sentence({}) == ""
