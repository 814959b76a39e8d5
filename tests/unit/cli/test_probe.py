"""`tunekit hardware probe`: what it prints and writes; the measurements are replaced."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tunekit.cli import probe
from tunekit.cli.probe import busy_words, probe_machine, target_path
from tunekit.errors import UsageError
from tunekit.hardware.probing import Outcome
from tunekit.hardware.profiles import load_profile
from tunekit.notebook import plan
from tunekit.probes.user_folder import machines_folder
from tunekit.source import find_hardware

FOUND = [
    Outcome(title="RAM", found={"ram_bandwidth": 33e9, "note": "2 threads"}),
    Outcome(title="CPU Adam", found={"adam_fp32_rate": 4e8, "adam": "torch AdamW, fused", "note": "x"}),
    Outcome(title="drive", found={}, missing="no room"),
]


@pytest.fixture(autouse=True)
def _replaced(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def measured(*_: Any, report: Any) -> list[Outcome]:
        report("measuring RAM (1 of 3)")
        return FOUND

    monkeypatch.setattr(probe, "run_probe", measured)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))


def test_progress_table_and_what_to_type_next(capsys: pytest.CaptureFixture[str]) -> None:
    probe_machine(write=None, json=False)
    said = capsys.readouterr().out
    assert "measuring RAM (1 of 3)" in said
    assert "33.0 GB/s" in said
    assert "; left out of 3: " in said
    assert "--write local" in said


def test_a_written_file_is_a_profile_to_plan_for(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "box.yaml"
    probe_machine(write=str(path), json=False)
    assert "# Measured by `tunekit hardware probe` on 20" in path.read_text()
    box = load_profile(str(path))
    assert box.host.ram_bandwidth == 33_000_000_000
    assert box.measured is not None
    assert box.measured.adam_fp32_rate == 4e8
    assert "--on" in capsys.readouterr().out
    assert plan("smollm2_135m_lora", on=str(path)).hardware.measured == box.measured


def test_written_as_local_plans_for_this_machine_use_it(capsys: pytest.CaptureFixture[str]) -> None:
    assert find_hardware("local").measured is None
    probe_machine(write="local", json=False)
    assert (machines_folder() / "local.yaml").is_file()
    assert "plans for local use these rates" in " ".join(capsys.readouterr().out.split())
    here = find_hardware("local")
    assert here.measured is not None
    assert here.host.ram_bandwidth == 33_000_000_000
    assert "local.yaml" in here.source


def test_a_name_lies_in_the_users_folder_and_is_none_that_is_shipped(tmp_path: Path) -> None:
    assert target_path("workshop", tmp_path) == tmp_path / "workshop.yaml"
    assert target_path("./workshop", tmp_path) == Path("workshop")
    assert target_path("x.yml", tmp_path) == Path("x.yml")
    with pytest.raises(UsageError, match="a profile of that name is shipped"):
        target_path("dual_rtx4090", tmp_path)


@pytest.mark.parametrize("given", ["mine.yaml", "office"])
def test_a_file_that_is_there_is_not_overwritten(given: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    machines_folder().mkdir(parents=True)
    kept = (Path("mine.yaml"), machines_folder() / "office.yaml")
    for path in kept:
        path.write_text("model: {}\n")
    with pytest.raises(UsageError, match=f"--write {given}: .* exists and is not overwritten"):
        probe_machine(write=given, json=False)
    assert [path.read_text() for path in kept] == ["model: {}\n"] * 2


def test_what_was_measured_here_is_measured_anew() -> None:
    for _ in range(2):
        probe_machine(write="local", json=False)
    assert find_hardware("local").measured is not None


def test_a_file_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UsageError, match="cannot be written"):
        probe_machine(write=str(tmp_path / "file" / "box.yaml"), json=False)


def test_a_busy_machine_is_told() -> None:
    assert busy_words(2.9, 2) == ()
    assert busy_words(6.35, 2)[0].startswith("6.3 programs wanted 2 threads: the rates are higher")


def test_json(capsys: pytest.CaptureFixture[str]) -> None:
    probe_machine(write=None, json=True)
    tree = json.loads(capsys.readouterr().out)
    assert tree["hardware"]["host"]["ram_bandwidth"] == 33_000_000_000
    assert tree["measurements"][2] == {"measurement": "drive", "found": {}, "missing": "no room", "seconds": 0.0}
    assert tree["written"] is None
