"""A few faults of the matrix, chosen for what they cover; `make faults` plays them all."""

from __future__ import annotations

import pytest

from tests.faults.fault import Fault
from tests.faults.matrix import IN_SUITE
from tests.faults.place import Place, is_root, make_place
from tests.faults.playing import suffer

pytestmark = [pytest.mark.slow, pytest.mark.train]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Place:
    """Model, data and the run that nobody disturbed."""
    return make_place(tmp_path_factory.mktemp("faults"))


@pytest.mark.parametrize("fault", IN_SUITE, ids=lambda fault: fault.name)
def test_fault_is_held(place: Place, fault: Fault) -> None:
    if fault.group == "machine" and not is_root():
        pytest.skip("a drive of its own can only be mounted by root")
    assert suffer(fault, place).problems == ()
