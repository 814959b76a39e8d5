from __future__ import annotations

import io
import re
from dataclasses import replace
from functools import cache

import pytest
from planning import CODELLAMA_34B, LLAMA_8B, machine, recipe_for, shape_of
from rich.console import Console

from tunekit.launcher.history import MeasuredBefore
from tunekit.launcher.measured import Peak
from tunekit.planner.make import make_plan
from tunekit.planner.plan import Plan
from tunekit.render.plan_text import render_plan
from tunekit.units import GIB, format_bytes


@cache
def planned(kind: str = "qlora", model: str = CODELLAMA_34B) -> Plan:
    preset = {"qlora": "z3_qlora", "full": "z3_offload", "lora": "z3"}[kind]
    return make_plan(recipe_for(model, kind, zero__preset=preset), shape_of(model), machine())


def text(plan: Plan, *, width: int = 80, terminal: bool = False, explain: bool = False) -> str:
    file = io.StringIO()
    console = Console(file=file, width=width, force_terminal=terminal, color_system="standard" if terminal else None)
    render_plan(plan, console, explain=explain)
    return file.getvalue()


def test_what_the_user_wrote_in_brackets_is_no_markup() -> None:
    plan = planned()
    shown = text(replace(plan, model_shape=replace(plan.model_shape, name="models/mine[base]")), width=120)
    assert "Model    models/mine[base]: " in shown


def test_the_verdict_comes_first() -> None:
    assert text(planned()).startswith("FITS  QLoRA of CodeLlama-34b-Instruct-hf on dual_rtx4090\n")
    assert text(planned("full")).startswith("REJECTED  full fine-tuning of CodeLlama-34b-Instruct-hf on dual_rtx4090\n")


def test_without_a_terminal_it_is_plain_ascii_without_trailing_blanks() -> None:
    for plan in (planned(), planned("full")):
        shown = text(plan, explain=True)
        assert shown.isascii()
        assert "\x1b" not in shown
        assert not re.search(r"[ \t]+$", shown, flags=re.MULTILINE)


@pytest.mark.parametrize("width", [80, 100, 120, 200])
def test_no_line_is_wider_than_asked(width: int) -> None:
    for explain in (False, True):
        assert max(map(len, text(planned("full"), width=width, explain=explain).splitlines())) <= width


def test_a_narrow_window_still_gets_every_section() -> None:
    shown = text(planned("full"), width=50)
    for section in ("Memory", "Judges", "Largest parts", "Decided for you", "What to change"):
        assert section in shown


def test_colours_and_bars_are_for_terminals() -> None:
    shown = text(planned(), terminal=True)
    assert "\x1b[1;32mFITS" in shown
    assert "█" in shown
    assert "#" in text(planned())


def test_bars_say_how_full_and_what_is_too_much() -> None:
    (line,) = (line for line in text(planned("full"), width=120).splitlines() if line.startswith("  step"))
    assert ">" in line
    assert re.search(r"\d{3}%", line)


def test_both_judges_stand_side_by_side() -> None:
    shown = text(planned())
    assert re.search(r"memory model +[\d.]+ to [\d.]+ of 23\.5 +[\d.]+ to [\d.]+ of 81\.0 +fits", shown)
    assert re.search(r"LLaMA-Factory table +[\d.]+ of 23\.5 +0\.0 of 81\.0 +passes", shown)
    assert "26.2 GB" in shown


def test_fixes_are_typed_whole_with_bytes_and_verdict() -> None:
    shown = text(planned("full"))
    assert re.search(r"fits +[\d,]+ +method\.kind=qlora zero\.preset=z3_qlora", shown)
    assert re.search(r"GPU: at most [\d.]+ of 23.5 GiB", shown)
    assert "--on " in shown


def test_a_fitting_plan_has_nothing_to_change() -> None:
    assert "What to change" not in text(planned())


def test_decisions_show_key_value_and_reason() -> None:
    assert re.search(r"train\.optimizer=adamw +what models of this kind", text(planned()))
    assert "zero.*: 7 sizes" in text(planned())


def test_explain_shows_every_term_with_formula_source_and_kind() -> None:
    plan = planned()
    shown = text(plan, width=200, explain=True)
    for term in plan.memory.terms:
        assert term.name in shown
        assert term.formula.split("\n")[0][:60] in shown
    assert "4-bit base  exact; from the first forward on" in shown
    assert "zero.reduce_bucket_size=" in shown
    assert "not fp16" in shown


def test_warnings_are_shown() -> None:
    plan = make_plan(
        recipe_for(LLAMA_8B, "lora", zero__preset="z3", train__micro_batch_size=1), shape_of(LLAMA_8B), machine()
    )
    assert "! zero.preset=z" in text(plan)


def test_a_rejected_plan_without_fixes_says_so() -> None:
    assert "Nothing that tunekit knows" in text(replace(planned("full"), fixes=()))


def test_what_a_run_measured_stands_beside_the_estimate() -> None:
    peaks = (Peak(place="GPU", bytes=17 * GIB, phase="step"), Peak(place="host", bytes=5 * GIB, phase="load"))
    before = MeasuredBefore(run="runs/a", date="2026-11-22", peaks=peaks, differs=("train.max_seq_length=512",))
    before = replace(before, tokens_per_second=348.2)
    file = io.StringIO()
    render_plan(planned(), Console(file=file, width=80), before=before)
    lines = file.getvalue().partition("Measured before\n")[2].splitlines()[:4]
    expected = format_bytes(planned().memory.device.expected_bytes)
    assert lines[0].split() == ["peak", "measured", "in", "phase", "this", "plan"]
    assert lines[1].split() == ["GPU", "17.0", "GiB", "step", *expected.split()]
    assert lines[2].split()[:4] == ["host", "5.0", "GiB", "load"]
    assert lines[3] == "  runs/a, 2026-11-22: with train.max_seq_length=512; 348 tokens/s"
    assert "Measured before" not in text(planned())
