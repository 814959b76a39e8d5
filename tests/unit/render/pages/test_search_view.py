from __future__ import annotations

from dataclasses import replace

from planning import CODELLAMA_34B, LLAMA_8B
from searching import searched

from tunekit.planner.fit_recipe import recipe_text
from tunekit.render.fit_parts import placement, rows
from tunekit.render.pages.parts import Table, Text, View
from tunekit.render.pages.search_view import search_view


def titles(view: View) -> list[str]:
    return [section.title for section in view.sections]


def test_a_search_shows_what_fits_before_the_recommended_plan_in_full() -> None:
    view = search_view(searched(LLAMA_8B, "lora"))
    assert titles(view)[:5] == ["Recommended", "What fits: memory against speed", "The frontier", "Memory", "Speed"]
    assert view.badge == "fits"
    assert view.tiles[-1].name == "1.0 M tokens"


def test_the_frontier_s_table_marks_the_recommended_plan() -> None:
    found = searched(LLAMA_8B, "lora")
    (section,) = (each for each in search_view(found).sections if each.title == "The frontier")
    table, why = section.parts
    assert isinstance(table, Table)
    assert table.marked is not None
    assert found.recommended is not None
    assert table.rows[table.marked][0].text == placement(found.recommended)
    assert len(table.rows) == len(rows(found))
    assert found.reason in str(why)


def test_the_recipe_is_the_one_that_fit_writes() -> None:
    found = searched(LLAMA_8B, "lora")
    (text,) = (part for section in search_view(found).sections for part in section.parts if isinstance(part, Text))
    assert text.text == recipe_text(found)


def test_where_nothing_fits_it_shows_what_would() -> None:
    found = searched(CODELLAMA_34B, "full")
    view = search_view(found)
    assert view.badge == "nothing fits"
    assert view.reason == found.reason
    assert "What to change" in titles(view)
    assert "The frontier" not in titles(view)
    assert "Recipe" not in titles(view)


def test_all_ways_out_and_all_warnings_stand_on_the_page() -> None:
    nothing = searched("meta-llama/Llama-2-70b-hf", "lora")
    assert "zero.nvme_path=" in str(search_view(nothing).sections)
    found = searched(LLAMA_8B, "lora")
    assert found.plan is not None
    warned = replace(found, plan=replace(found.plan, warnings=("The supply gives 1,000 W.",)))
    assert "The supply gives 1,000 W." in str(search_view(warned).sections)
