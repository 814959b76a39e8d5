from __future__ import annotations

from dataclasses import FrozenInstanceError

import pytest

from tests.examining import READINGS
from tunekit.doctor.readings import Cards, ModelFiles


def test_what_was_read_is_not_changed():
    with pytest.raises(FrozenInstanceError):
        READINGS.nvcc = "13.0"


def test_nothing_there_is_said_without_words():
    assert Cards() == Cards(shown=(), uuids=(), driver=None, peers=False, missing="", on_the_bus=0)
    assert ModelFiles().fault == ""
