from __future__ import annotations

import io
import re
from dataclasses import replace

from rich.console import Console

from tests.traces import TRACE
from tunekit.memory.tracing import Trace, TracedName
from tunekit.render.trace_text import difference, formula_peak, heading, render_trace, trace_tree
from tunekit.units import GIB

FORMULAS: dict[TracedName, int] = {"loss": 3 * GIB, "backward": int(4.1 * GIB), "eval": 2 * GIB}


def text(trace: Trace = TRACE, formulas: dict[TracedName, int] = FORMULAS, width: int = 80) -> str:
    file = io.StringIO()
    render_trace(trace, formulas, Console(file=file, width=width))
    return file.getvalue()


def rows() -> dict[str, list[str]]:
    found = (re.split(r"\s{2,}", line.strip()) for line in text().splitlines())
    return {row[0]: row[1:] for row in found if len(row) > 1}


def test_traced_and_formulas_stand_side_by_side() -> None:
    assert rows()["backward of the layers"] == ["4.00", "4.10", "+2.5%"]
    assert rows()["forward"] == ["2.00", "-", "-"]
    assert rows()["peak of the step"] == ["4.00", "4.10", "+2.5%"]


def test_an_evaluation_is_no_part_of_the_step() -> None:
    assert rows()["evaluation"] == ["1.00", "2.00", "+100.0%"]
    assert formula_peak(FORMULAS) == FORMULAS["backward"]


def test_modules_are_listed_and_the_rest_is_summed() -> None:
    assert rows()["layers.*.part0"] == ["2", "0.25"]
    assert rows()["4 more"] == ["1.00"]


def test_lines_are_plain_and_not_too_wide() -> None:
    shown = text(replace(TRACE, notes=("assumed: x=1",)))
    assert shown.isascii()
    assert max(map(len, shown.splitlines())) <= 80
    assert not re.search(r"[ \t]+$", shown, flags=re.MULTILINE)
    assert "! assumed: x=1" in shown


def test_the_heading_says_how_deep_was_traced() -> None:
    assert "all 80 layers; attention: flash (in torch); 12.3 s" in heading(TRACE)
    assert "80 layers, on the line through 2 and 3" in heading(replace(TRACE, depths=(2, 3)))


def test_json_has_both_numbers_and_their_difference() -> None:
    tree = trace_tree(TRACE, FORMULAS)
    assert tree["peak"] == {
        "phase": "backward",
        "traced_bytes": 4 * GIB,
        "formula_bytes": int(4.1 * GIB),
        "difference": 0.025,
    }
    assert [each["name"] for each in tree["phases"]] == ["forward", "loss", "backward", "eval"]
    assert tree["phases"][0]["formula_bytes"] is None
    assert len(tree["modules"]) == 12


def test_without_formulas_there_is_nothing_to_compare() -> None:
    assert trace_tree(TRACE, {})["peak"]["formula_bytes"] is None
    assert difference(0, 5) is None
