from __future__ import annotations

import io
from dataclasses import replace
from datetime import date

from comparing import compared
from rich.console import Console

from tunekit.planner.compare import Comparison
from tunekit.render.compare_text import render_comparison


def text(found: Comparison, width: int = 80) -> str:
    file = io.StringIO()
    render_comparison(found, Console(file=file, width=width, force_terminal=False), date(2026, 11, 22))
    return file.getvalue()


def test_machines_prices_break_even_and_refusals_stand_in_this_order() -> None:
    printed = text(compared())
    marks = ["Own or rent", "dual_rtx4090", "1 x H100", "Other, 2026-01-01, 325 days old", "beyond which", "Owning:"]
    places = [printed.index(mark) for mark in [*marks, "Does not fit on", "1 x T4"]]
    assert places == sorted(places)


def test_it_keeps_within_80_columns_and_leaves_no_spaces_behind() -> None:
    lines = text(compared()).splitlines()
    assert max(map(len, lines)) <= 80
    assert all(line == line.rstrip() for line in lines)


def test_where_the_own_machine_cannot_do_the_job_there_is_nothing_to_break_even() -> None:
    printed = text(compared("full", "z3_offload"))
    assert "beyond which" not in printed
    assert "dual_rtx4090  The host RAM needs" in printed


def test_without_a_price_of_the_own_machine_there_is_no_break_even() -> None:
    printed = text(replace(compared(), owned=None, own_usd_never_idle=None))
    assert "beyond which" not in printed
    assert "no purchase price is known" in printed


def test_machines_that_are_left_out_of_the_table_are_counted_below_it() -> None:
    found = compared()
    many = replace(found, rented=tuple(replace(found.rented[0], name=f"box {index}") for index in range(12)))
    assert "and 4 more that it fits on: --json lists all" in text(many)


def test_the_row_of_a_machine_says_that_its_states_are_smaller() -> None:
    found = compared()
    lines = text(replace(found, rented=(replace(found.rented[0], losses=("bf16 states",)),))).splitlines()
    row = next(index for index, line in enumerate(lines) if line.startswith(f"  {found.rented[0].name} "))
    assert lines[row + 1] == "    bf16 states"
    assert "  bf16 states: master weights and moments in bf16" in "\n".join(lines[row + 2 :])


def test_cards_that_nothing_is_known_of_are_named() -> None:
    assert "does not know the cards: MI300X" in " ".join(text(compared()).split())
