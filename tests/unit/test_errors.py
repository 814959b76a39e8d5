from __future__ import annotations

import pytest

from tunekit import errors
from tunekit.errors import DoesNotFit, MissingError, Problem, RecipeError, RunFailed, TunekitError, UsageError


@pytest.mark.parametrize(
    ("kind", "code"),
    [
        (TunekitError, 1),
        (UsageError, 2),
        (RecipeError, 2),
        (DoesNotFit, 3),
        (MissingError, 4),
        (RunFailed, 1),
    ],
)
def test_the_exit_code_belongs_to_the_class_as_the_tree_draws_it(kind: type[TunekitError], code: int) -> None:
    assert kind.exit_code == code
    (line,) = (line for line in (errors.__doc__ or "").splitlines() if f"{kind.__name__} " in line)
    assert f" {code}  " in line


def test_a_problem_says_where_what_and_what_to_type() -> None:
    whole = Problem(where="r.yaml:3", key="train.seed", found="found x", allowed="allowed: 1", hint="write 1")
    assert str(whole) == "r.yaml:3: train.seed: found x; allowed: 1; write 1"
    assert str(Problem(key="", found="found x")) == "found x"


def test_a_recipe_error_counts_its_problems() -> None:
    problems = (Problem(key="a", found="x"), Problem(key="b", found="y"))
    assert str(RecipeError(problems, source="r.yaml")) == "a: x\nb: y\n2 problems in r.yaml; nothing was started."
    assert str(RecipeError(problems[:1])).endswith("1 problem in the recipe; nothing was started.")
    assert RecipeError(problems).problems == problems


def test_a_plan_that_does_not_fit_carries_itself() -> None:
    assert DoesNotFit("no", plan="the plan").plan == "the plan"
