import pytest

from tunekit.speed.terms import SHOWN, Band, SpeedEstimate, SpeedTerm


def term(name: str, seconds: float, kind: str = "default") -> SpeedTerm:
    return SpeedTerm(name=name, seconds=seconds, low=seconds, high=seconds, formula="1", source="test", kind=kind)  # type: ignore[arg-type]


def estimate(*terms: SpeedTerm) -> SpeedEstimate:
    whole = sum(each.seconds for each in terms)
    band = Band(low=whole, expected=whole, high=whole)
    share = Band(low=1.0, expected=1.0, high=1.0)
    return SpeedEstimate(
        tokens_per_second=band,
        step_seconds=band,
        tokens_per_step=10,
        positions_per_step=10,
        useful_share=share,
        terms=terms,
    )


def test_the_largest_costs_are_named_largest_first():
    found = estimate(term("a", 1.0), term("b", 4.0), term("c", 2.0), term("d", 3.0)).largest
    assert [each.name for each in found] == ["b", "d", "c"]
    assert len(found) == SHOWN


def test_the_measured_share_is_one_of_seconds():
    assert estimate(term("a", 1.0), term("b", 3.0, "measured")).measured_share == pytest.approx(0.75)
    assert estimate(term("a", 1.0)).measured_share == 0.0
