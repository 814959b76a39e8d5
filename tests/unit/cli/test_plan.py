from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import typer

from tests.measured import a_measurement, a_rank
from tests.runs import steps, write_json, write_lines, write_run
from tunekit.cli.plan import Views, show_plan
from tunekit.errors import UsageError
from tunekit.hardware.calibration import Calibration
from tunekit.launcher.environment import RUN_VARIABLE
from tunekit.notebook import plan
from tunekit.planner.plan_json import plan_from_json, plan_to_json
from tunekit.probes.calibration_file import calibration_path, write_calibration
from tunekit.source import find_hardware
from tunekit.units import GIB, MIB


def show(recipe: str, *overrides: str, **options: object) -> int:
    arguments = {name: options.pop(name, default) for name, default in (("on", None), ("trust", "both"))}
    try:
        show_plan(recipe, list(overrides), **arguments, views=Views(**options))  # type: ignore[arg-type]
    except typer.Exit as ended:
        return ended.exit_code
    return 0


def test_a_fitting_plan_is_printed_and_names_the_next_command(capsys: pytest.CaptureFixture[str]) -> None:
    assert show("codellama34b_qlora", "train.max_seq_length=1024") == 0
    printed = capsys.readouterr().out
    assert printed.startswith("FITS  QLoRA of CodeLlama-34b-hf on dual_rtx4090")
    assert printed.endswith("\nNext: tunekit launch codellama34b_qlora train.max_seq_length=1024\n")


def test_data_that_a_launch_would_refuse_are_said_and_the_verdict_stands(capsys: pytest.CaptureFixture[str]) -> None:
    assert show("quickstart", "data.path=nothere.jsonl", on="dual_rtx4090") == 0
    printed = capsys.readouterr().out
    assert printed.startswith("FITS")
    assert "\nA launch would stop at the data: data.path: nothere.jsonl" in printed
    assert printed.splitlines()[-1].startswith("Mend the data first, then: tunekit launch quickstart")
    assert show("quickstart", "data.path=nothere.jsonl", on="dual_rtx4090", json=True) == 0
    assert "nothere.jsonl" in json.loads(capsys.readouterr().out)["data_faults"][0]


def test_what_a_launch_would_stop_at_is_as_wide_as_the_plan_and_says_no_more(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    (tmp_path / "faq.csv").write_text("one,two\n1,2\n")
    monkeypatch.chdir(tmp_path)
    assert show("quickstart", "data.path=faq.csv", on="dual_rtx4090") == 0
    told = capsys.readouterr().out.partition("A launch would stop")[2].partition("Mend the data first")[0]
    assert "no format fits the columns found: one, two" in " ".join(told.split())
    assert "nothing was started" not in told
    assert "problem in" not in told
    assert max(map(len, told.splitlines())) <= 80


def test_a_rejected_plan_exits_with_3_and_names_the_first_fix(capsys: pytest.CaptureFixture[str]) -> None:
    assert show("codellama34b_full") == 3
    assert "Nothing was started. Next: tunekit plan codellama34b_full method.kind=qlora" in capsys.readouterr().out


def test_a_fix_replaces_what_was_typed_for_the_same_key(capsys: pytest.CaptureFixture[str]) -> None:
    assert show("codellama34b_full", "train.learning_rate=2e-5") == 3
    last = capsys.readouterr().out.splitlines()[-1]
    assert last.count("train.learning_rate=") == 1
    assert "train.learning_rate=auto" in last


def test_on_is_part_of_the_next_command(capsys: pytest.CaptureFixture[str]) -> None:
    assert show("codellama34b_qlora", on="8x_a100_80gb") == 0
    assert capsys.readouterr().out.endswith("Next: tunekit launch codellama34b_qlora --on 8x_a100_80gb\n")


def test_the_judge_that_was_overruled_is_part_of_the_next_command(capsys: pytest.CaptureFixture[str]) -> None:
    assert show("codellama34b_qlora", trust="model") == 0
    assert capsys.readouterr().out.endswith("Next: tunekit launch codellama34b_qlora --trust model\n")


def test_json_is_the_plan_and_nothing_else(capsys: pytest.CaptureFixture[str]) -> None:
    assert show("codellama34b_qlora", json=True) == 0
    printed = capsys.readouterr().out
    assert json.loads(printed)["verdict"] == "fits"
    assert plan_from_json(printed).hardware.name == "dual_rtx4090"


def test_a_rejected_plan_as_json_exits_with_3_too(capsys: pytest.CaptureFixture[str]) -> None:
    assert show("codellama34b_full", json=True) == 3
    printed = capsys.readouterr().out
    assert plan_from_json(printed).fixes


def test_of_every_fix_the_whole_command_stands_in_json(capsys: pytest.CaptureFixture[str]) -> None:
    assert show("qwen25_14b_lora", on="single_rtx4090", json=True) == 3
    fixes = json.loads(capsys.readouterr().out)["fixes"]
    (elsewhere,) = [each for each in fixes if each["set"].startswith("hardware=")]
    assert elsewhere["command"].endswith(f"--on {elsewhere['set'].split()[0].partition('=')[2]}")
    assert "single_rtx4090" not in elsewhere["command"], "a plan has one machine"
    here = fixes[0]
    assert here["command"] == f"tunekit plan qwen25_14b_lora {here['set']} --on single_rtx4090"


def test_columns_that_the_data_do_not_have_are_not_typed_again(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "faq.csv").write_text("instruction,output\n1,2\n")
    monkeypatch.chdir(tmp_path)
    wrong = "data.columns={prompt: question, completion: answer}"
    assert show("quickstart", "data.path=faq.csv", wrong, on="dual_rtx4090") == 0
    last = capsys.readouterr().out.splitlines()[-1]
    assert last == "Mend the data first, then: tunekit launch quickstart data.path=faq.csv --on dual_rtx4090"
    (tmp_path / "right.csv").write_text("question,answer\n1,2\n")
    assert show("quickstart", "data.path=right.csv", "data.eval_path=faq.csv", wrong, on="dual_rtx4090") == 0
    assert wrong in capsys.readouterr().out.splitlines()[-1], "it is right for the rows to learn from"


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


def test_a_run_that_was_measured_before_is_shown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert show("codellama34b_qlora", json=True) == 0
    assert json.loads(capsys.readouterr().out)["measured_before"] is None
    for folder, length in (("runs", 2048), ("elsewhere", 1024)):
        run_dir = write_run(tmp_path / folder / "x", plan("codellama34b_qlora", f"train.max_seq_length={length}"))
        write_json(run_dir.measured, a_measurement(a_rank(reserved=17 * GIB), a_rank(rank=1)))
    assert show("codellama34b_qlora", json=True) == 0
    printed = capsys.readouterr().out
    told = json.loads(printed)["measured_before"]
    assert (told["run"], told["differs"], told["peaks"][0]["bytes"]) == ("runs/x", [], 17 * GIB)
    assert plan_from_json(printed).verdict == "fits"
    overrides = ("train.max_seq_length=1024", "output.dir=elsewhere/new")
    assert show("codellama34b_qlora", *overrides) == 0
    assert "elsewhere/x, " in capsys.readouterr().out


def test_only_plans_of_this_machine_use_what_was_measured_on_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    here = find_hardware("local").parts
    measured = Calibration(machine=here, date="2026-11-22", runs=("runs/a",), rank_bytes=1234 * MIB)
    write_calibration(measured, calibration_path())
    smollm = {"model": {"path": "HuggingFaceTB/SmolLM2-135M"}, "data": {"path": "x.jsonl"}, "output": {"dir": "runs/x"}}
    local = plan(smollm, on="local")
    assert local.hardware.calibration == measured
    assert any(f"{1234 * MIB:,} B" in term.formula for term in local.memory.terms if term.name == "processes")
    assert plan_from_json(json.dumps(plan_to_json(local))) == local
    assert plan(smollm, on="dual_rtx4090").hardware.calibration is None
    (tmp_path / "recipe.yaml").write_text(json.dumps(smollm))
    show(str(tmp_path / "recipe.yaml"), on="local")
    assert "RAM of a rank after its imports 1.2 GiB (tunekit calibrate," in " ".join(capsys.readouterr().out.split())


def test_a_page_is_written_and_named_and_has_the_next_command_to_copy(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "pages" / "plan.html"
    assert show("codellama34b_qlora", html=file) == 0
    assert f"Drawn in {file}" in capsys.readouterr().out
    text = file.read_text(encoding="utf-8")
    assert text.startswith("<!doctype html>")
    assert '<pre tabindex="0" aria-label="in a terminal">tunekit launch codellama34b_qlora</pre>' in text


def test_a_page_never_replaces_a_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "plan.html"
    file.write_text("mine", encoding="utf-8")
    with pytest.raises(UsageError, match="exists and is not overwritten"):
        show("no_such_recipe", html=file)  # refused before anything else is looked at
    assert file.read_text(encoding="utf-8") == "mine"
    assert capsys.readouterr().out == ""


def test_a_rejected_plan_has_a_page_too(tmp_path: Path) -> None:
    assert show("codellama34b_full", html=tmp_path / "plan.html", json=True) == 3
    assert "What to change" in (tmp_path / "plan.html").read_text(encoding="utf-8")


def test_a_gated_model_is_told_before_the_next_command(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_HOME", str(tmp_path))
    for name in ("HF_TOKEN", "HF_TOKEN_PATH", "HUGGING_FACE_HUB_TOKEN", "HF_HUB_CACHE"):
        monkeypatch.delenv(name, raising=False)
    show_plan("llama31_8b_lora", [], on=None, trust="both", views=Views())
    printed = capsys.readouterr().out
    assert printed.index("is gated: its owner grants access") < printed.index("\nNext: tunekit launch")


def test_a_folder_that_holds_a_run_is_told_with_another_to_type(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    made = plan("codellama34b_qlora")
    run_dir = write_run(tmp_path / made.recipe.output.dir, made)
    write_lines(run_dir.metrics, steps(3.0, 2.5))
    assert show("codellama34b_qlora") == 0
    told = " ".join(capsys.readouterr().out.split())
    assert f"A launch would stop at the folder: output.dir {run_dir.path} already holds a run (lost" in told
    assert told.endswith("Next: tunekit launch codellama34b_qlora output.dir=runs/codellama34b_qlora-2")
    assert show("codellama34b_qlora", json=True) == 0
    assert "already holds a run" in json.loads(capsys.readouterr().out)["output_fault"]
    # A rank of a run that launch.sh started has no record, but the run's mark, which is an absolute path.
    rank = subprocess.Popen(
        [sys.executable, "-c", "input()"], stdin=subprocess.PIPE, env={RUN_VARIABLE: str(run_dir.path)}
    )
    try:
        assert show("codellama34b_qlora") == 0
    finally:
        rank.communicate(b"\n")
    told = " ".join(capsys.readouterr().out.split())
    assert "holds a run that is going on" in told
    assert told.endswith("Next: tunekit logs -f runs/codellama34b_qlora")


@pytest.mark.parametrize(
    ("folder", "said"),
    [("gone", "is a link to nowhere, which is not there"), ("x" * 300, "File name too long"), ("~/mine", "is a file")],
)
def test_a_folder_that_cannot_be_used_is_told_and_the_plan_stands(
    folder: str, said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "gone").symlink_to("nowhere")
    (tmp_path / "mine").touch()
    assert show("codellama34b_qlora", f"output.dir={folder}") == 0
    printed = capsys.readouterr().out
    assert printed.startswith("FITS")
    assert said in " ".join(printed.split())
