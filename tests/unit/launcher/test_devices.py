from __future__ import annotations

import pytest

from tunekit.errors import MissingError, UsageError
from tunekit.launcher.devices import chosen_devices

UUIDS = ("GPU-aaaa-1", "GPU-bbbb-2", "GPU-bbbc-3")


def test_unset_means_the_first_cards():
    assert chosen_devices(None, 2) == ()


def test_indices_are_taken_sorted():
    assert chosen_devices("3, 1,0", 2) == (1, 3)


def test_uuids_become_indices():
    assert chosen_devices("GPU-bbbb,GPU-aaaa-1", 2, UUIDS) == (0, 1)


def test_too_few():
    with pytest.raises(MissingError, match="2 processes.*shows 1"):
        chosen_devices("0", 2)
    with pytest.raises(MissingError, match="shows 0"):
        chosen_devices("", 1)


@pytest.mark.parametrize("name", ["MIG-1234", "GPU-bbb", "GPU-zzz", "first"])
def test_names_that_are_no_card(name):
    with pytest.raises(UsageError, match=name):
        chosen_devices(name, 1, UUIDS)


def test_minus_one_hides_itself_and_all_that_follow():
    assert chosen_devices("1,-1,0", 1, UUIDS) == (1,)
    with pytest.raises(MissingError, match="shows 0"):
        chosen_devices("-1", 1, UUIDS)


@pytest.mark.parametrize("name", ["3", "²", "-2"])
def test_indices_that_no_card_has(name):
    with pytest.raises(UsageError, match=rf"names {name}: no card of this machine \(0 = GPU-aaaa-1, 1 = "):
        chosen_devices(name, 1, UUIDS)


def test_the_same_card_twice_is_one_card():
    with pytest.raises(MissingError, match="shows 1"):
        chosen_devices("0,0", 2, UUIDS)
