from __future__ import annotations

from dataclasses import replace

import pytest

from tests.plans import make_plan
from tunekit.cli.next_command import After, Typed, after_rejection, command, first_fix, with_fix
from tunekit.planner.plan import Fix

HERE = Fix(set="train.micro_batch_size=1 zero.preset=z3", saves_bytes=1, note="", verdict="tight")
THERE = Fix(set="hardware=8x_a100_80gb", saves_bytes=0, note="", verdict="fits")
NOT_ENOUGH = Fix(set="train.max_seq_length=256", saves_bytes=1, note="", verdict="rejected")


def rejected(*fixes):
    return replace(make_plan(), verdict="rejected", fixes=fixes)


def test_everything_that_was_typed_is_typed_again():
    typed = Typed(recipe="my recipe.yaml", overrides=("a=b c",), on="local", trust="model", master_port=30000)
    assert command("launch", typed) == (
        "tunekit launch 'my recipe.yaml' 'a=b c' --on local --trust model --master-port 30000"
    )
    assert "--master-port" not in command("plan", typed)
    assert command("launch", Typed(recipe="quickstart")) == "tunekit launch quickstart"


@pytest.mark.parametrize("fixes", [(THERE, HERE), (NOT_ENOUGH, HERE), (HERE, THERE)])
def test_a_fix_for_this_machine_comes_first(fixes):
    assert first_fix(rejected(*fixes)) == ["train.micro_batch_size=1", "zero.preset=z3"]


def test_a_fix_takes_the_place_of_what_it_changes():
    words = ("zero.preset=z2", "train.micro_batch_size=8", "train.seed=3")
    typed = Typed(recipe="r", overrides=words, on="dual_rtx4090")
    assert after_rejection(rejected(HERE), typed) == (
        "tunekit launch r train.seed=3 train.micro_batch_size=1 zero.preset=z3 --on dual_rtx4090"
    )


def test_another_machine_is_planned_for_not_launched_on():
    typed = Typed(recipe="r", on="dual_rtx4090", master_port=30000)
    assert after_rejection(rejected(THERE, NOT_ENOUGH), typed) == "tunekit plan r --on 8x_a100_80gb"
    elsewhere = Typed(recipe="r", overrides=("hardware=dual_rtx4090",))
    assert after_rejection(rejected(THERE), elsewhere) == "tunekit plan r --on 8x_a100_80gb"


def test_without_a_way_out_the_terms_are_shown():
    assert after_rejection(rejected(NOT_ENOUGH), Typed(recipe="r")) == "tunekit plan r --explain"


def test_with_a_fix_nothing_else_changes():
    typed = Typed(recipe="r", overrides=("a=1",), trust="table")
    assert with_fix(typed, ["b=2"]) == replace(typed, overrides=("a=1", "b=2"))


def test_what_comes_after_is_a_few_lines_and_a_section_with_the_command_to_copy():
    after = After(said=("A launch would stop.",), done="Written to a.yaml.", typed="tunekit launch a.yaml")
    assert after.text(80) == "\nA launch would stop.\n\nWritten to a.yaml. Next: tunekit launch a.yaml"
    (section,) = after.sections
    lines, copied = section.parts
    assert (section.title, lines.lines) == ("Next", ("A launch would stop.", "Written to a.yaml."))
    assert copied.text == "tunekit launch a.yaml"
    nothing = After(done="Nothing was started.")
    assert nothing.text(80) == "\nNothing was started."
    assert nothing.sections == ()


def test_a_page_keeps_the_lines_of_a_fault_and_does_not_wrap_them():
    fault = "rows.csv: no format fits " + "word " * 30 + "\nallowed: alpaca"
    after = After(said=(fault,), word="Mend the data first, then", typed="tunekit launch r")
    lines = after.sections[0].parts[0].lines
    assert lines == (*fault.splitlines(), "Mend the data first, then:")
    assert max(map(len, after.text(60).splitlines()[:-1])) <= 60
