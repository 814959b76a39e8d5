from __future__ import annotations

import json
from dataclasses import replace

import pytest
import typer

from tunekit.cli.plan import show_plan
from tunekit.errors import UsageError
from tunekit.notebook import plan
from tunekit.planner.plan_json import plan_from_json


def show(recipe: str, *overrides: str, **options: object) -> int:
    arguments = {"on": None, "trust": "both", "json": False, "explain": False, **options}
    try:
        show_plan(recipe, list(overrides), **arguments)  # type: ignore[arg-type]
    except typer.Exit as ended:
        return ended.exit_code
    return 0


def test_a_fitting_plan_is_printed_and_names_the_next_command(capsys: pytest.CaptureFixture[str]) -> None:
    assert show("codellama34b_qlora", "train.max_seq_length=1024") == 0
    printed = capsys.readouterr().out
    assert printed.startswith("FITS  QLoRA of CodeLlama-34b-hf on dual_rtx4090")
    assert printed.endswith("\nNext: tunekit launch codellama34b_qlora train.max_seq_length=1024\n")


def test_a_rejected_plan_exits_with_3_and_names_the_first_fix(capsys: pytest.CaptureFixture[str]) -> None:
    assert show("codellama34b_full") == 3
    assert "Nothing was started. Next: tunekit plan codellama34b_full method.kind=qlora" in capsys.readouterr().out


def test_a_fix_replaces_what_was_typed_for_the_same_key(capsys: pytest.CaptureFixture[str]) -> None:
    assert show("codellama34b_full", "train.learning_rate=2e-5") == 3
    last = capsys.readouterr().out.splitlines()[-1]
    assert last.count("train.learning_rate=") == 1
    assert "train.learning_rate=auto" in last


def test_another_machine_as_the_fix_takes_the_place_of_on(capsys: pytest.CaptureFixture[str]) -> None:
    assert show("llama2_70b_qlora", on="dual_rtx4090") == 3
    last = capsys.readouterr().out.splitlines()[-1]
    assert "hardware=" in last
    assert "--on" not in last


def test_on_is_part_of_the_next_command(capsys: pytest.CaptureFixture[str]) -> None:
    assert show("codellama34b_qlora", on="8x_a100_80gb") == 0
    assert capsys.readouterr().out.endswith("Next: tunekit launch codellama34b_qlora --on 8x_a100_80gb\n")


def test_json_is_the_plan_and_nothing_else(capsys: pytest.CaptureFixture[str]) -> None:
    assert show("codellama34b_qlora", json=True) == 0
    printed = capsys.readouterr().out
    assert json.loads(printed)["verdict"] == "fits"
    assert plan_from_json(printed).hardware.name == "dual_rtx4090"


def test_a_rejected_plan_as_json_exits_with_3_too(capsys: pytest.CaptureFixture[str]) -> None:
    assert show("codellama34b_full", json=True) == 3
    assert json.loads(capsys.readouterr().out)["fixes"]


def test_explain_prints_the_formulas(capsys: pytest.CaptureFixture[str]) -> None:
    assert show("codellama34b_qlora", explain=True) == 0
    assert "Every term" in capsys.readouterr().out


def test_an_unknown_judge_is_a_usage_error() -> None:
    with pytest.raises(UsageError, match="--trust nobody"):
        show("codellama34b_qlora", trust="nobody")


def test_without_a_way_out_no_command_is_named(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    rejected = replace(plan("codellama34b_full"), fixes=())
    monkeypatch.setattr("tunekit.cli.plan.plan", lambda *_args, **_options: rejected)
    assert show("codellama34b_full") == 3
    assert capsys.readouterr().out.endswith("\nNothing was started.\n")
