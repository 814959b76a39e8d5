from __future__ import annotations

from planning import CODELLAMA_34B, LLAMA_8B, laptop, machine, recipe_for, shape_of

from tunekit.planner.make import make_plan
from tunekit.planner.plan import Plan
from tunekit.recipe.loading import load_text
from tunekit.render.pages.parts import Table, Text, View
from tunekit.render.pages.plan_view import plan_view


def planned(model: str = LLAMA_8B, kind: str = "lora", **keys: object) -> Plan:
    return make_plan(recipe_for(model, kind, **keys), shape_of(model), machine())


def table(view: View, title: str) -> Table:
    (section,) = (each for each in view.sections if each.title == title)
    return next(part for part in section.parts if isinstance(part, Table))


def test_the_headline_is_the_verdict_and_its_reason() -> None:
    plan = planned()
    view = plan_view(plan)
    assert (view.badge, view.reason) == (plan.verdict, plan.reason)
    assert [tile.name for tile in view.tiles] == ["GPU (each of 2)", "host RAM", "Speed", "1 M tokens"]
    assert view.tiles[0].more == "of 23.5 GiB usable"


def test_the_fixes_of_a_rejected_plan_come_first() -> None:
    plan = planned(CODELLAMA_34B, "full", zero__preset="z3_offload")
    view = plan_view(plan)
    assert view.sections[0].title == "What to change"
    assert [row[-1].text for row in table(view, "What to change").rows] == [fix.set for fix in plan.fixes]
    assert view.tiles[1].state == "rejected"


def test_every_term_and_every_decision_has_a_row() -> None:
    plan = planned()
    view = plan_view(plan)
    (terms,) = (each for each in view.sections if each.title == "Every memory term")
    rows = [row for part in terms.parts if isinstance(part, Table) for row in part.rows]
    assert len(rows) == len(plan.memory.terms)
    assert {row[0].text for row in table(view, "Every cost of a step").rows} == {
        term.name for term in plan.speed.terms if plan.speed
    }
    assert "data.packing" in {row[0].text for row in table(view, "Decided for you").rows}


def test_the_memory_table_says_what_the_bars_show() -> None:
    plan = planned()
    rows = table(plan_view(plan), "Memory by phase, as a table").rows
    assert [row[0].text for row in rows][-2:] == ["at most", "usable"]
    assert rows[-1][1].text == "23.5"


def test_both_recipes_load_and_the_first_is_what_was_asked() -> None:
    plan = planned()
    texts = [part for section in plan_view(plan).sections for part in section.parts if isinstance(part, Text)]
    asked, answered = (load_text(part.text) for part in texts)
    assert asked == plan.recipe
    assert answered.train.micro_batch_size == plan.job.batch.micro_batch_size
    assert "auto" not in texts[1].text.split("\n", 1)[1]


def test_a_machine_without_cards_says_that_no_speed_is_known() -> None:
    plan = make_plan(recipe_for(), shape_of("HuggingFaceTB/SmolLM2-135M-Instruct"), laptop())
    view = plan_view(plan)
    assert [tile.name for tile in view.tiles] == ["host RAM"]
    assert "Every cost of a step" not in {section.title for section in view.sections}


def test_how_to_overrule_a_judge_is_said_in_the_reader_s_words() -> None:
    keys = {"zero__preset": "z2", "train__micro_batch_size": 1, "method__rank": 32}
    plan = planned(CODELLAMA_34B, "qlora", **keys)
    lines = [str(section.parts[-1]) for section in plan_view(plan).sections if section.title == "Judges"]
    assert "--trust model" in lines[0]
    assert 'trust="model"' in str(plan_view(plan, trust_typed='trust="{judge}"').sections)
