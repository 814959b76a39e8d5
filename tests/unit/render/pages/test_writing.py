from __future__ import annotations

import re
import subprocess
import sys

from tunekit.render.pages.bars import Bar, Chart, Charts, Legend, Mark, Segment
from tunekit.render.pages.parts import Cell, Lines, Section, Table, Text, Tile, View
from tunekit.render.pages.scatter import Point, Scatter
from tunekit.render.pages.writing import TEMPLATES, fragment, page

EVIL = "</script><script>alert('x')</script>\"'><img src=x onerror=alert(1)>{{ 7 * 7 }}"


def hostile() -> View:
    segment = Segment(name=EVIL, start=0, width=10, colour=0, said=EVIL)
    bar = Bar(label=EVIL, value=EVIL, share=EVIL, state=EVIL, segments=(segment,))
    chart = Chart(
        title=EVIL,
        note=EVIL,
        bars=(bar,),
        marks=(Mark(kind=EVIL, at=1, text=EVIL),),
        ticks=((0.0, EVIL),),
        unit=EVIL,
        legend=(Legend(name=EVIL, colour=0, amount=EVIL),),
    )
    point = Point(x=1, y=1, method="lora", recommended=True, said=EVIL, typed=EVIL, facts=((EVIL, EVIL),))
    points = Scatter(
        frontier=(point,),
        behind=(point,),
        edge=((1, 1),),
        usable=90,
        usable_text=EVIL,
        x_ticks=((0.0, EVIL),),
        y_ticks=((0.0, EVIL),),
        methods=("lora",),
    )
    looks = tuple(Cell(text=EVIL, look=look, more=EVIL) for look in ("text", "number", "code", "badge", "name"))
    table = Table(caption=EVIL, head=(EVIL,) * 5, rows=(looks,), marked=0)
    parts = (
        chart,
        Charts(charts=(chart,)),
        points,
        table,
        Lines(lines=(EVIL,), listed=True),
        Text(name=EVIL, text=EVIL),
    )
    section = Section(title=EVIL, parts=parts)
    return View(
        badge=EVIL,
        title=EVIL,
        reason=EVIL,
        tiles=(Tile(name=EVIL, value=EVIL, more=EVIL, state=EVIL, share=0.5),),
        sections=(section, Section(title=EVIL, parts=parts, open=False)),
    )


def test_hostile_text_stays_text_wherever_it_stands() -> None:
    for html in (page(hostile()), fragment(hostile())):
        assert "alert(&#39;x&#39;)" in html
        assert "<img" not in html
        assert "alert('x')" not in html
        assert "49" not in re.sub(r"<style>.*?</style>", "", html, flags=re.DOTALL)
        assert "\"'>" not in html
        # Inside an attribute a quote would end it.
        assert not re.search(r'="[^"]*<script', html)


def test_a_page_is_whole_and_loads_nothing() -> None:
    html = page(hostile())
    assert html.startswith("<!doctype html>")
    assert html.rstrip().endswith("</html>")
    assert "default-src 'none'" in html
    for word in ("http://", "https://", '<link rel="stylesheet', "@import", "url("):
        assert word not in html.replace("http-equiv", "")


def test_a_fragment_is_one_element_without_a_script_of_its_own() -> None:
    html = fragment(hostile())
    assert html.startswith('<div class="tunekit">')
    assert html.count("<script>") == 0
    assert "<html" not in html


def test_the_same_pictures_stand_in_both() -> None:
    for part in ('class="track"', 'class="scatter"', 'class="grid"'):
        assert page(hostile()).count(part) == fragment(hostile()).count(part) > 0


def test_templates_are_escaped_without_exception() -> None:
    for template in TEMPLATES.glob("*.j2"):
        text = template.read_text(encoding="utf-8")
        assert "|safe" not in text.replace(" ", "")
        assert "autoescape" not in text


def test_the_module_loads_no_template_engine_before_it_writes() -> None:
    code = "import sys, tunekit.render.plan_html, tunekit.render.search_html; sys.exit('jinja2' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False, timeout=60).returncode == 0
