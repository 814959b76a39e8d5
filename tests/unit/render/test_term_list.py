from __future__ import annotations

import io
import re
from dataclasses import replace
from functools import cache

import pytest
from planning import CODELLAMA_34B, machine, recipe_for, shape_of
from rich.console import Console

from tunekit.memory.terms import MemoryTerm
from tunekit.planner.make import make_plan
from tunekit.planner.plan import Plan
from tunekit.render.term_list import kind_of, place_line, term_list, when
from tunekit.units import format_bytes

TERM = MemoryTerm(name="x", phases=("step",), device_bytes=1, formula="1 B", source="test", kind="bound", low=0.5)


@cache
def planned(*, evaluates: bool = False) -> Plan:
    changes = {"data__eval_fraction": 0.1} if evaluates else {}
    recipe = recipe_for(CODELLAMA_34B, "qlora", zero__preset="z3_qlora", output__save_steps=10, **changes)
    return make_plan(recipe, shape_of(CODELLAMA_34B), machine())


def lines(width: int) -> list[str]:
    file = io.StringIO()
    Console(file=file, width=width).print(term_list(planned()), highlight=False)
    return [line.rstrip() for line in file.getvalue().splitlines()]


@pytest.mark.parametrize("width", [80, 120])
def test_every_term_is_shown_with_its_bytes_formula_and_source(width: int) -> None:
    shown = " ".join(" ".join(lines(width)).split())
    for term in planned().memory.terms:
        size = term.device_bytes or term.host_bytes or term.disk_bytes
        assert f"{format_bytes(size)} {term.name} {kind_of(term)}; {when(term, planned())}" in shown
        assert " ".join(term.formula.split()) in shown
        assert " ".join(term.source.split()) in shown


@pytest.mark.parametrize("width", [80, 120])
def test_bytes_stand_in_a_column_and_nothing_is_wider_than_the_screen(width: int) -> None:
    found = lines(width)
    assert max(map(len, found)) <= width
    starts = [line for line in found if re.match(r" *[\d,.]+ (GiB|MiB|KiB|B)  \S", line)]
    assert len(starts) == len(planned().memory.terms)
    assert len({re.match(r" *[\d,.]+ \S+", line).end() for line in starts}) == 1  # type: ignore[union-attr]


def test_places_stand_apart_with_their_worst_phase() -> None:
    heads = [line.strip() for line in lines(120) if "in the worst phase" in line]
    memory = planned().memory
    assert heads == [
        place_line(title, place)
        for title, place in (("GPU (each of 2)", memory.device), ("host RAM", memory.host), ("disk", memory.disk))
    ]


@pytest.mark.parametrize(
    ("phases", "words"),
    [
        (("load", "first forward", "step", "optimizer", "eval", "save", "resume"), "always"),
        (("first forward", "step", "optimizer", "eval", "save", "resume"), "from the first forward on"),
        (("step", "optimizer", "save"), "from the first step on"),
        (("step", "optimizer"), "step, optimizer"),
        (("merge",), "merge"),
        ((), "never at a peak"),
    ],
)
def test_when_a_term_stands_is_said_in_few_words(phases: tuple[str, ...], words: str) -> None:
    assert when(replace(TERM, phases=phases), planned()) == words  # type: ignore[arg-type]


def test_a_phase_that_the_run_has_not_is_not_asked_for() -> None:
    term = replace(TERM, phases=("step", "optimizer", "save"))
    assert when(term, planned(evaluates=True)) == "step, optimizer, save"


def test_a_band_is_shown_where_there_is_one() -> None:
    assert kind_of(TERM) == "bound, x0.5 to x1"
    assert kind_of(replace(TERM, kind="exact", low=1.0)) == "exact"
