"""`tunekit doctor` as it is typed, on this machine."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import typer

from tests.examining import READINGS, healthy, with_readings
from tunekit.cli import doctor as module
from tunekit.cli.doctor import build_missing, show_doctor
from tunekit.errors import MissingError, RecipeError, UsageError

OPTIONS: dict[str, Any] = {"on": None, "trust": "both", "build_ops": False, "json": False}


def doctor(recipe: str | None = None, *overrides: str, **options: Any) -> int:
    try:
        show_doctor(recipe, overrides, **{**OPTIONS, **options})
    except typer.Exit as ended:
        return ended.exit_code
    return 0


@pytest.fixture
def untried(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No trials, in a folder of its own."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(module, "with_trials", lambda case, report: case)


@pytest.mark.usefixtures("untried")
def test_the_report_and_its_exit_code(capsys: pytest.CaptureFixture[str]) -> None:
    assert doctor() == 0
    assert "Nothing stops training here." in " ".join(capsys.readouterr().out.split())
    assert doctor("quickstart", on="quad_rtx4090") == 4
    assert "quickstart cannot run here: " in " ".join(capsys.readouterr().out.split())


@pytest.mark.usefixtures("untried")
def test_json_alone_on_standard_output(capsys: pytest.CaptureFixture[str]) -> None:
    assert doctor("quickstart", on="quad_rtx4090", json=True) == 4
    tree = json.loads(capsys.readouterr().out)
    assert "accelerator" in tree["blocks"]
    assert len(tree["findings"]) == 40


@pytest.mark.usefixtures("untried")
def test_a_recipe_with_faults_is_answered_as_ever() -> None:
    with pytest.raises(RecipeError, match="train.learning_rat"):
        doctor("quickstart", "train.learning_rat=1")


def test_ops_are_built_where_they_are_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[str, ...]] = []
    monkeypatch.setattr(module, "build", lambda ops, caller, env, report: asked.append(ops))
    bare = with_readings(healthy(cards=False), ops=replace(READINGS.ops, built=("cpu_adam",)))
    assert build_missing(bare, report=lambda text: None)
    assert asked == [("deepspeed_shm_comm",)]
    assert not build_missing(healthy(cards=False), report=lambda text: None)
    assert len(asked) == 1


@pytest.mark.usefixtures("untried")
def test_a_build_that_fails_ends_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def fail(*args: object, **kwargs: object) -> None:
        raise MissingError("cpu_adam cannot be built: no compiler")

    monkeypatch.setenv("TORCH_EXTENSIONS_DIR", str(tmp_path / "ops"))
    monkeypatch.setattr(module, "build", fail)
    with pytest.raises(MissingError, match="no compiler"):
        doctor(build_ops=True)


@pytest.mark.train
def test_a_real_visit_tries_what_only_trying_shows(tmp_path: Path) -> None:
    """The command itself, with RANK of another launcher and no home of ours; nothing stays behind."""
    environ = {**os.environ, "RANK": "0", "WORLD_SIZE": "2", "COLUMNS": "100"}
    argv = [sys.executable, "-m", "tunekit", "doctor", "quickstart", "--json"]
    ran = subprocess.run(argv, cwd=tmp_path, env=environ, capture_output=True, text=True, timeout=300, check=False)
    assert ran.returncode == 0, ran.stderr
    found = {finding["check"]: finding for finding in json.loads(ran.stdout)["findings"]}
    assert found["data"]["state"] == "ok"
    assert "128 rows as messages" in found["data"]["found"]
    assert found["tokenizer"]["state"] == "ok"
    assert found["steps"]["found"].startswith("90 optimizer steps")
    assert "RANK, WORLD_SIZE" in found["stray_variables"]["found"]
    assert list(tmp_path.iterdir()) == []


def test_other_hardware_needs_a_recipe_that_is_planned_for_it():
    with pytest.raises(UsageError, match="--on a100_80gb: the doctor looks at this machine; name a recipe"):
        doctor(on="a100_80gb")
