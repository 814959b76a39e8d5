from tunekit.memory.terms import LATER, MOMENTS, PHASES, MemoryTerm, PlaceEstimate


def test_a_term_tells_its_bytes_in_each_place() -> None:
    term = MemoryTerm(name="x", phases=("step",), host_bytes=7, formula="7", source="test", kind="exact")
    assert [term.bytes_in(place) for place in ("device", "host", "disk")] == [0, 7, 0]


def test_headroom_is_negative_when_it_does_not_fit() -> None:
    place = PlaceEstimate(low_bytes=1, expected_bytes=12, high_bytes=13, usable_bytes=10, worst_phase="step")
    assert place.headroom_bytes == -2


def test_every_moment_belongs_to_one_phase() -> None:
    assert set(MOMENTS) == {*PHASES, *LATER}
    named = [moment for moments in MOMENTS.values() for moment in moments]
    assert len(named) == len(set(named)) == 7
