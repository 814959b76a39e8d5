from __future__ import annotations

from pathlib import Path

import pytest
from planning import SMOLLM, laptop, recipe_for

from tunekit import notebook
from tunekit.errors import MissingError, RecipeError, UsageError
from tunekit.hardware.profiles import load_profile
from tunekit.recipe.loading import load_recipe
from tunekit.recipe.schema import Recipe

TREE = {"model": {"path": SMOLLM}, "data": {"path": "rows.jsonl"}, "output": {"dir": "runs/x"}}
ON = "dual_rtx4090"


def test_load_gives_the_recipe() -> None:
    recipe = notebook.load("codellama34b_qlora", ["train.max_seq_length=512"])
    assert isinstance(recipe, Recipe)
    assert recipe.train.max_seq_length == 512


def test_a_recipe_may_come_as_name_path_mapping_or_value(repository: Path) -> None:
    by_name = notebook.load("codellama34b_qlora")
    assert notebook.load(repository / "recipes" / "codellama34b_qlora.yaml") == by_name
    assert notebook.load(by_name) == by_name
    assert notebook.load(load_recipe("codellama34b_qlora")) == by_name
    assert notebook.load(TREE).model.path == SMOLLM


def test_overrides_stand_over_a_loaded_recipe_too() -> None:
    assert notebook.load(recipe_for(), ["train.max_seq_length=64"]).train.max_seq_length == 64
    assert notebook.load(load_recipe(TREE), ["train.max_seq_length=64"]).train.max_seq_length == 64


def test_plan_plans_for_the_hardware_of_the_recipe() -> None:
    assert notebook.plan("codellama34b_qlora").hardware.name == ON


def test_on_names_other_hardware_and_the_plan_records_it() -> None:
    for on in ("single_rtx4090", load_profile("single_rtx4090")):
        plan = notebook.plan("codellama34b_qlora", on=on)
        assert plan.hardware.name == "single_rtx4090"
        assert plan.recipe.hardware == "single_rtx4090"


def test_a_hardware_value_of_ones_own_is_planned_for() -> None:
    assert notebook.plan(TREE, on=laptop()).job.accelerator == "cpu"


def test_local_probes_this_machine() -> None:
    plan = notebook.plan(TREE)
    assert plan.recipe.hardware == "local"
    assert plan.hardware.host.ram_bytes > 0


def test_hardware_named_twice_is_an_error_with_both_names() -> None:
    with pytest.raises(UsageError, match=r"--on dual_rtx4090 and hardware=a100_80gb name two machines"):
        notebook.plan(TREE, ["hardware=a100_80gb"], on=ON)
    assert notebook.plan(TREE, [f"hardware={ON}"], on=ON).hardware.name == ON


def test_unknown_hardware_is_refused_with_the_nearest_name() -> None:
    with pytest.raises(UsageError, match=r"^--on: hardware: there is no profile dual_rtx409; .* mean dual_rtx4090\?"):
        notebook.plan(TREE, on="dual_rtx409")


def test_a_model_or_machine_that_cannot_be_had_is_named_with_its_line(tmp_path: Path) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text(f"model: {{path: {SMOLLM}}}\ndata: {{path: x}}\noutput: {{dir: y}}\nhardware: nope\n")
    with pytest.raises(UsageError, match=rf"^{file}:4: hardware: there is no profile nope"):
        notebook.plan(file)
    with pytest.raises(UsageError, match=r"^command line: model\.path: \./nope does not exist"):
        notebook.plan(file, ["model.path=./nope"], on=ON)
    with pytest.raises(MissingError, match=r"^command line: model\.path: a+ is not a name the hub can have"):
        notebook.plan(file, [f"model.path={'a' * 300}"], on=ON)


def test_the_faults_of_a_hardware_file_keep_their_own_lines(tmp_path: Path) -> None:
    box = tmp_path / "box.yaml"
    box.write_text("gpus: 2\n")
    with pytest.raises(RecipeError, match=rf"{box}:1: gpus: found 2"):
        notebook.plan(TREE, on=str(box))


def test_a_fix_is_typed_as_it_is_shown() -> None:
    rejected = notebook.plan("codellama34b_full")
    assert notebook.plan("codellama34b_full", rejected.fixes[0].set).verdict == rejected.fixes[0].verdict == "fits"


def test_an_unknown_judge_is_refused_before_anything_is_looked_up() -> None:
    with pytest.raises(UsageError, match="allowed: both, model, table"):
        notebook.plan({**TREE, "model": {"path": "no/such-model"}}, trust="neither")  # type: ignore[arg-type]


def test_problems_found_against_the_machine_carry_their_line(tmp_path: Path) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text(
        f"model: {{path: {SMOLLM}}}\ndata: {{path: x}}\noutput: {{dir: y}}\n"
        f"hardware: {ON}\ntrain:\n  global_batch_size: 15\n"
    )
    with pytest.raises(RecipeError) as raised:
        notebook.plan(file)
    assert str(raised.value).startswith(f"{file}:6: train.global_batch_size: 15 rows cannot be shared by 2 processes")
    assert str(raised.value).endswith(f"1 problem in {file}; nothing was started.")


def test_a_model_that_is_nowhere_is_missing(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HF_HOME", str(tmp_path))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises((MissingError, UsageError), match="no/such-model"):
        notebook.plan({**TREE, "model": {"path": "no/such-model"}}, on=ON)


def test_faults_of_a_deepspeed_json_are_counted_in_that_file(tmp_path: Path) -> None:
    path = tmp_path / "mine.json"
    path.write_text('{"bf16": true, "zero_optimization": {"stage": "2"}}')
    with pytest.raises(RecipeError, match=f"2 problems in {path}; nothing was started"):
        notebook.plan(TREE, [f"zero.config={path}", "data.path=examples/data/finetuning_qa.jsonl"], on=ON)


def test_a_machine_that_there_is_none_of_is_told_with_the_faults_of_the_recipe(tmp_path: Path) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text("model: {path: 3}\nhardware: nowhere\n")
    with pytest.raises(RecipeError) as raised:
        notebook.plan(file)
    places = {problem.key: problem.where for problem in raised.value.problems}
    assert places["hardware"] == f"{file}:2"
    assert "model.path" in places


def test_faults_that_were_typed_are_said_to_stand_on_the_command_line() -> None:
    with pytest.raises(RecipeError) as raised:
        notebook.plan("quickstart", ["train.nope=1"], on="nosuch")
    assert [problem.where for problem in raised.value.problems] == ["command line", "--on"]
    assert str(raised.value).endswith("2 problems in the command line; nothing was started.")


def test_a_model_that_nobody_has_is_called_what_was_typed() -> None:
    with pytest.raises(UsageError, match=r"^fit \./no/such: model\.path: "):
        notebook.fit("./no/such", on=ON)
