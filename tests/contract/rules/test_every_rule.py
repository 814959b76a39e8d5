"""Every rule of the table is met as it says, on CPU, through the loader and the planner; and the page is made of it."""

from __future__ import annotations

from itertools import chain
from pathlib import Path

import pytest
from contract.rules.meeting import Fixed, Kept, NoWords, Refused, Rejected, Warned
from contract.rules.page import rules_page
from contract.rules.reproduced import CONFIGS, ENGINES, SILENT
from contract.rules.table import TABLE, Rule

from tunekit.errors import RecipeError
from tunekit.recipe.loading import load_recipe

EVERY = [(rule, met) for rule in TABLE for met in rule.met]


def of(kind: type) -> pytest.MarkDecorator:
    """Every way of this kind in which a rule is met."""
    cases = [
        pytest.param(met, id=f"{rule.what[:40]}-{index}")
        for index, (rule, met) in enumerate(EVERY)
        if isinstance(met, kind)
    ]
    return pytest.mark.parametrize("met", cases)


@of(Refused)
def test_it_is_refused_with_what_to_do(met: Refused, tmp_path: Path) -> None:
    found = met.said.problems(tmp_path)
    assert met.key in {problem.key for problem in found}, found
    assert all(problem.allowed or problem.hint for problem in found if problem.key == met.key), found


@of(Rejected)
def test_the_verdict_is_no(met: Rejected, tmp_path: Path) -> None:
    assert met.said.plan(tmp_path).verdict == "rejected"


@of(Warned)
def test_it_is_warned_of(met: Warned, tmp_path: Path) -> None:
    warnings = met.said.plan(tmp_path).warnings
    assert any(met.words in text for text in warnings), warnings


@of(NoWords)
def test_a_recipe_has_no_words_for_it(met: NoWords) -> None:
    tree = {"model": {"path": "a/b"}, "data": {"path": "d"}, "output": {"dir": "o"}}
    for word in met.typed:
        with pytest.raises(RecipeError):
            load_recipe(tree, [word])


@of(Kept)
def test_another_test_keeps_it(met: Kept, repository: Path) -> None:
    path, _, name = met.test.partition("::")
    assert name in (repository / path).read_text(encoding="utf-8")


@pytest.mark.train
def test_arguments_that_never_change() -> None:
    from plans import make_plan

    from tunekit.launcher.run_dir import RunDir
    from tunekit.worker.arguments import argument_values

    written = argument_values(make_plan(), RunDir(Path("runs/x")), {})
    for _, met in EVERY:
        if isinstance(met, Fixed):
            assert met.arguments.items() <= written.items()


def test_both_surveys_are_covered_number_by_number() -> None:
    assert sorted(chain.from_iterable(rule.pain for rule in TABLE)) == list(range(1, 61))
    assert sorted(chain.from_iterable(rule.stack for rule in TABLE)) == list(range(1, 24))


def test_every_case_that_is_reproduced_belongs_to_a_rule() -> None:
    named = set(chain.from_iterable(rule.shown for rule in TABLE))
    assert named == {*ENGINES, *CONFIGS, *SILENT}


def test_every_rule_has_a_reason_and_an_alternative() -> None:
    def complete(rule: Rule) -> bool:
        return bool(rule.why and rule.instead and rule.met)

    assert all(map(complete, TABLE))


def test_the_page_is_current(repository: Path) -> None:
    """`python -m contract.rules.page > ../recipes/RULES.md` in `tests/` writes it anew."""
    assert (repository / "recipes" / "RULES.md").read_text(encoding="utf-8") == rules_page()
