from __future__ import annotations

from typing import Any

import pytest

from tunekit.planner.answer import Answer, as_typed, decide, decided, written
from tunekit.planner.plan import Decision


@pytest.mark.parametrize(
    ("value", "typed"),
    [
        (True, "true"),
        (False, "false"),
        (1e-5, "1e-5"),
        (2.5e-4, "2.5e-4"),
        (0.05, "0.05"),
        (1.0, "1"),
        (0.0, "0"),
        (16, "16"),
        ("nf4", "nf4"),
        (("q_proj", "v_proj"), "[q_proj,v_proj]"),
    ],
)
def test_values_are_written_as_they_are_typed(value: Any, typed: str) -> None:
    assert as_typed(value) == typed


def test_a_written_value_has_no_decision() -> None:
    assert written(8) == Answer(value=8, decision=None)


def test_a_decided_value_carries_its_reason_and_what_was_not_taken() -> None:
    answer = decided("method.rank", 16, "usual", rejected=["8: too small"])
    assert answer.value == 16
    assert answer.decision == Decision(key="method.rank", value="16", reason="usual", rejected=("8: too small",))


def test_a_decision_alone_is_typed_too() -> None:
    assert decide("zero.pin_memory", False, "no GPU").value == "false"
