from __future__ import annotations

import io
import re
from dataclasses import replace

import pytest
from planning import LLAMA_8B
from rich.console import Console
from searching import searched

from tunekit.planner.search_result import SearchResult
from tunekit.render.fit_text import render_search


def text(found: SearchResult, *, width: int = 80, terminal: bool = False) -> str:
    file = io.StringIO()
    render_search(found, Console(file=file, width=width, force_terminal=terminal, color_system=None))
    return file.getvalue()


def test_the_recommended_plan_is_marked_in_the_table() -> None:
    found = searched(LLAMA_8B, "lora")
    shown = text(found)
    assert found.recommended is not None
    (marked,) = (line for line in shown.splitlines() if line.startswith("  > "))
    assert f"{found.recommended.speed.tokens_per_second.expected:,.0f}" in marked


def test_why_the_runner_up_lost_is_said() -> None:
    found = searched(LLAMA_8B, "lora")
    assert "The runner-up" in text(found)
    assert found.reason in " ".join(text(found).split())


def test_losses_are_said_in_words() -> None:
    shown = " ".join(text(searched(LLAMA_8B)).split())
    assert "trains an adapter instead of every weight" in shown
    assert "gives up: adapters, 4-bit base" in shown or "gives up: adapters" in shown


def test_where_nothing_fits_the_ways_out_follow() -> None:
    shown = text(searched("meta-llama/Llama-2-70b-hf", "lora"))
    assert shown.startswith("NOTHING FITS")
    assert "--on " in shown


def test_what_is_to_be_typed_stands_in_the_flags_of_fit() -> None:
    found = searched("meta-llama/Llama-2-70b-hf", "lora")
    fix = replace(found.fixes[0], set="hardware=a100_80gb method.kind=qlora train.max_seq_length=512 zero.stage=auto")
    shown = text(replace(found, fixes=(fix,)), width=140)
    assert "zero.stage=auto --on a100_80gb --method qlora --seq 512\n" in shown


@pytest.mark.parametrize("width", [80, 100, 140])
def test_no_line_is_wider_than_asked_and_pipes_get_plain_text(width: int) -> None:
    for found in (searched(LLAMA_8B), searched("meta-llama/Llama-2-70b-hf", "lora")):
        shown = text(found, width=width)
        assert max(map(len, shown.splitlines())) <= width
        assert shown.isascii()
        assert not re.search(r"[ \t]+$", shown, flags=re.MULTILINE)


def test_what_is_wrong_with_the_machine_is_told_of_the_recommended_plan() -> None:
    found = searched(LLAMA_8B, "lora")
    assert found.plan is not None
    assert "Warnings" not in text(replace(found, plan=replace(found.plan, warnings=())))
    warned = replace(found, plan=replace(found.plan, warnings=("The supply gives 1,000 W.",)))
    assert "! The supply gives 1,000 W." in text(warned)
