from __future__ import annotations

from dataclasses import replace

from planning import CODELLAMA_34B, LLAMA_8B
from searching import searched

from tunekit.render.plan_parts import FIT_FLAGS, as_words
from tunekit.render.search_html import search_html, search_page


def test_a_notebook_shows_the_frontier_and_the_page_the_same() -> None:
    found = searched(LLAMA_8B, "lora")
    assert found._repr_html_() == search_html(found)
    for html in (search_html(found), search_page(found)):
        assert html.count('class="point ') == len(found.frontier)
        assert "recommended" in html


def test_a_search_without_a_plan_that_fits_can_be_shown() -> None:
    found = searched(CODELLAMA_34B, "full")
    first, page = found.fixes[0].set, search_page(found)
    assert first.startswith("method.kind=")
    assert as_words(first, FIT_FLAGS) in page, "as it is typed behind `tunekit fit`"
    assert first not in page
    assert 'class="scatter"' not in search_html(found)


def test_names_from_outside_are_escaped() -> None:
    evil = "<script>alert('x')</script>"
    found = searched(LLAMA_8B, "lora")
    plan = found.plan
    assert plan is not None
    shape = replace(found.model_shape, name=evil)
    hostile = replace(
        found,
        model_shape=shape,
        hardware=replace(found.hardware, name=evil),
        reason=evil,
        tokens_said=evil,
        plan=replace(plan, reason=evil, model_shape=shape),
    )
    for html in (search_html(hostile), search_page(hostile)):
        assert evil not in html
        assert "&lt;script&gt;" in html
