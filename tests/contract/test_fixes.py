"""Every fix that a shipped recipe is offered does what it says when it is typed."""

from __future__ import annotations

import shlex

import pytest

from tunekit.notebook import plan
from tunekit.planner.plan import Plan
from tunekit.recipe.shipped import shipped_names

MACHINES = (None, "single_rtx4090", "dual_rtx4090")


def unsure(name: str, on: str | None) -> Plan | None:
    made = plan(name, [f"hardware={on}"] if on else [])
    return made if made.verdict != "fits" else None


CASES = [(name, on) for name in shipped_names("recipes") if name != "quickstart" for on in MACHINES]


@pytest.mark.parametrize(("name", "on"), CASES)
def test_typing_a_fix_gives_exactly_its_verdict(name: str, on: str | None) -> None:
    made = unsure(name, on)
    if made is None:
        return
    for fix in made.fixes:
        words = shlex.split(fix.set)
        typed = [f"hardware={on}"] if on and not any(word.startswith("hardware=") for word in words) else []
        assert plan(name, [*typed, *words]).verdict == fix.verdict, fix.set
        if not any(word.startswith("hardware=") for word in words):
            assert fix.saves_bytes > 0


def test_enough_shipped_recipes_are_rejected_somewhere_to_make_this_worth_something() -> None:
    rejected = [case for case in CASES if (made := unsure(*case)) and made.verdict == "rejected"]
    assert len(rejected) >= 10
    assert ("codellama34b_full", None) in rejected


@pytest.mark.parametrize(("name", "on"), CASES)
def test_every_rejected_shipped_recipe_has_a_way_out(name: str, on: str | None) -> None:
    made = unsure(name, on)
    if made is not None and made.verdict == "rejected":
        assert made.fixes[0].verdict in ("fits", "tight")
