from __future__ import annotations

import pytest
from planning import CODELLAMA_34B, LLAMA_8B, machine, recipe_for, shape_of

from tunekit.errors import UsageError
from tunekit.memory.estimate import estimate_memory
from tunekit.memory.llamafactory_table import check_table
from tunekit.planner.make import check_trust, make_plan


def test_a_plan_holds_what_both_judges_say_of_its_job() -> None:
    shape, hardware = shape_of(LLAMA_8B), machine()
    plan = make_plan(recipe_for(LLAMA_8B, "lora"), shape, hardware)
    assert plan.verdict == "fits"
    assert plan.memory == estimate_memory(plan.job, shape, hardware)
    assert plan.table == check_table(plan.job, shape, hardware)
    assert plan.num_trainable_parameters == 41_943_040
    assert plan.fixes == ()


def test_a_rejected_plan_is_returned_with_its_reason_and_fixes() -> None:
    plan = make_plan(recipe_for(CODELLAMA_34B, "full"), shape_of(CODELLAMA_34B), machine())
    assert plan.verdict == "rejected"
    assert "GiB more than" in plan.reason
    assert plan.fixes[0].verdict == "fits"


def test_an_overruled_judge_is_recorded() -> None:
    plan = make_plan(recipe_for(CODELLAMA_34B, "full"), shape_of(CODELLAMA_34B), machine(), trust="table")
    assert plan.trust == "table"
    assert "--trust table" in plan.reason


def test_an_unknown_judge_is_refused_with_the_known_ones() -> None:
    with pytest.raises(UsageError, match="--trust me: .* allowed: both, model, table"):
        check_trust("me")
    with pytest.raises(UsageError):
        make_plan(recipe_for(), shape_of(LLAMA_8B), machine(), trust="me")  # type: ignore[arg-type]
