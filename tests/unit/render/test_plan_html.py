from __future__ import annotations

from dataclasses import replace
from html.parser import HTMLParser

from planning import CODELLAMA_34B, SMOLLM, laptop, machine, recipe_for, shape_of

from tunekit.launcher.history import MeasuredBefore
from tunekit.planner.make import make_plan
from tunekit.planner.plan import Plan
from tunekit.render.plan_html import plan_html, plan_page

VOID = ("br", "meta", "link")


class Tags(HTMLParser):
    """Counts open tags and keeps the text."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.text: list[str] = []
        self.seen: set[str] = set()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.add(tag)
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.add(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text.append(data)


def parsed(html: str) -> Tags:
    tags = Tags()
    tags.feed(html)
    assert tags.open == []
    return tags


def rejected() -> Plan:
    return make_plan(recipe_for(CODELLAMA_34B, "full", zero__preset="z3_offload"), shape_of(CODELLAMA_34B), machine())


def test_it_says_what_the_text_says() -> None:
    plan = rejected()
    for html in (plan_html(plan), plan_page(plan)):
        text = "".join(parsed(html).text)
        for part in (plan.verdict, plan.reason, plan.table.reading, plan.fixes[0].set, plan.decisions[0].reason):
            assert part in text


def test_every_text_from_outside_is_escaped() -> None:
    evil = "<script>alert('x')</script>"
    plan = rejected()
    plan = replace(
        plan,
        reason=evil,
        warnings=(evil,),
        model_shape=replace(plan.model_shape, name=evil),
        table=replace(plan.table, reading=evil),
        fixes=(replace(plan.fixes[0], set=evil, note=evil),),
        decisions=(replace(plan.decisions[0], key=evil, value=evil, reason=evil),),
        hardware=replace(plan.hardware, name=evil),
    )
    tags = parsed(plan_html(plan))
    assert "script" not in tags.seen
    assert evil in "".join(tags.text)
    assert "".join(parsed(plan_page(plan)).text).count(evil) >= 6
    assert "<script>alert" not in plan_page(plan)


def test_it_brings_its_own_style_and_loads_nothing() -> None:
    html = plan_html(rejected())
    for word in ("http", "src=", "href=", "<link", "@import"):
        assert word not in html
    assert len(html) < 80_000


def test_it_takes_the_colours_of_the_page() -> None:
    html = plan_html(rejected())
    assert "color:inherit" in html
    assert "color:#000" not in html
    assert "background:#fff" not in html
    assert "prefers-color-scheme" not in html
    assert "prefers-color-scheme:dark" in plan_page(rejected())


def test_where_nothing_tells_the_speed_the_page_says_what_the_same_job_measured() -> None:
    made = make_plan(recipe_for(), shape_of(SMOLLM), laptop())
    before = MeasuredBefore(run="runs/a", date="2026-11-22", peaks=(), differs=(), tokens_per_second=1234.0)
    assert "No estimate" in plan_page(made)
    page = plan_page(made, before=before)
    assert "No estimate" not in page
    assert "1,234 tokens/s, as the same job measured" in page
