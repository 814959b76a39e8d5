"""A few faults of the matrix, chosen for what they cover; `make faults` plays them all."""

from __future__ import annotations

import pytest

from tests.faults.fault import Outcome
from tests.faults.matrix import IN_SUITE, find
from tests.faults.place import make_place
from tests.faults.playing import suffer
from tests.faults.together import went_on

pytestmark = [pytest.mark.slow, pytest.mark.train]


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Outcome]:
    """Each fault played; the runs that it left go on in one launch."""
    place = make_place(tmp_path_factory.mktemp("faults"))
    played = [suffer(find(name), place, waits=True) for name in IN_SUITE]
    return {outcome.name: outcome for outcome in (*played, *went_on(played, place))}


@pytest.mark.parametrize("name", IN_SUITE)
def test_fault_is_held(outcomes: dict[str, Outcome], name: str) -> None:
    assert outcomes[name].problems == ()
    assert not outcomes[name].waits
