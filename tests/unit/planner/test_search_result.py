from __future__ import annotations

from dataclasses import FrozenInstanceError

import pytest
from planning import LLAMA_8B
from searching import searched


def test_the_frontier_is_part_of_what_fits_the_fastest_first() -> None:
    found = searched(LLAMA_8B)
    assert set(found.frontier) < set(found.candidates)
    for every in (found.candidates, found.frontier):
        assert list(every) == sorted(every, key=lambda each: each.seconds_per_token)


def test_it_says_its_best_in_one_line() -> None:
    found = searched(LLAMA_8B)
    best = found.recommended
    assert best is not None
    assert repr(found).startswith(f"<SearchResult {LLAMA_8B} on dual_rtx4090 for speed: method.kind=")
    assert f"best of {found.plans:,} plans" in repr(found)
    none = searched("meta-llama/Llama-2-70b-hf", "full")
    assert repr(none).endswith(f"none of {none.plans:,} plans fits>")


def test_it_cannot_be_changed() -> None:
    with pytest.raises(FrozenInstanceError):
        searched(LLAMA_8B).goal = "cost"  # type: ignore[misc]


def test_settings_are_typed_as_a_person_types_them() -> None:
    best = searched(LLAMA_8B, "lora").recommended
    assert best is not None
    assert "train.activation_checkpointing=true" in best.typed or "train.activation_checkpointing=false" in best.typed
    assert best.typed.startswith("method.kind=lora zero.preset=")
    assert best.fullness == max(best.device.fullness, best.host.fullness)
