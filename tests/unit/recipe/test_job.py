from __future__ import annotations

from dataclasses import FrozenInstanceError

import pytest

from tunekit.recipe.job import Batch


def test_the_batch_identity_holds_by_construction() -> None:
    assert Batch(micro_batch_size=2, gradient_accumulation_steps=4, world_size=2).global_batch_size == 16


def test_a_batch_is_frozen() -> None:
    with pytest.raises(FrozenInstanceError):
        Batch(micro_batch_size=2, gradient_accumulation_steps=4, world_size=2).world_size = 3  # type: ignore[misc]
