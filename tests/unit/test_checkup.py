"""The doctor's visit to this machine; trials are made in tests/unit/cli/test_doctor.py."""

from __future__ import annotations

from pathlib import Path

import pytest

from tunekit import checkup
from tunekit.checkup import Asked, check_up, doubts, look_at, read_machine
from tunekit.doctor.finding import Finding
from tunekit.errors import MissingError, UnknownFamily, UsageError
from tunekit.hardware.probing import Outcome
from tunekit.launcher.caller import this_caller
from tunekit.notebook import plan
from tunekit.source import read_source


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TORCH_EXTENSIONS_DIR", str(tmp_path / "ops"))
    monkeypatch.setattr(checkup, "run_trials", lambda case, report: {})


def quiet(text: str) -> None:
    """No progress."""


def asked(*overrides: str, recipe: str = "quickstart", on: str | None = None) -> Asked:
    return Asked(loaded=read_source(recipe, overrides), on=on)


def states(findings: tuple[Finding, ...]) -> dict[str, str]:
    return {finding.check: finding.state for finding in findings}


def test_a_shipped_recipe_on_this_machine() -> None:
    case = look_at(asked(), report=quiet)
    assert case.plan is not None
    assert case.faults == ()
    assert [place.what for place in case.readings.places] == [
        "output",
        "hub cache",
        "compiled ops",
        "temporary files",
    ]
    assert "blocks" not in states(check_up(asked(), report=quiet)).values()


def test_a_notice_that_nobody_would_get_is_told() -> None:
    found = {each.check: each for each in check_up(asked("watch.notify_command=[no-such-program]"), report=quiet)}
    assert found["trackers"].state == "warning"
    assert "no-such-program is not found" in found["trackers"].found


def test_this_machine_alone() -> None:
    case = look_at(Asked(), report=quiet)
    assert (case.plan, case.refusal, case.has_recipe) == (None, None, False)
    assert case.readings.places[0].what == "this folder"
    assert len(check_up(Asked(), report=quiet)) == 25


def test_a_plan_for_another_machine_blocks() -> None:
    found = states(check_up(asked(on="quad_rtx4090"), report=quiet))
    assert found["accelerator"] == "blocks"


def test_settings_that_cannot_work_together_are_a_finding() -> None:
    found = check_up(asked("train.optimizer=paged_adamw_8bit", "hardware=local"), report=quiet)
    (finding,) = (finding for finding in found if finding.blocks)
    if finding.check != "combinations":
        pytest.skip("this machine has a card")
    assert "paged_adamw_8bit" in finding.found


@pytest.mark.parametrize(
    ("error", "check"),
    [
        (MissingError("nowhere"), "model_files"),
        (UnknownFamily("odd"), "model_config"),
        (UsageError("no"), "combinations"),
    ],
)
def test_each_reason_for_no_plan_has_its_check(error: Exception, check: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*args: object, **kwargs: object) -> None:
        raise error

    monkeypatch.setattr(checkup, "plan_loaded", refuse)
    found = check_up(asked(), report=quiet)
    assert [finding.check for finding in found if finding.blocks] == [check]


def test_swap_files_are_a_place_of_their_own(tmp_path: Path) -> None:
    made = plan(
        "quickstart",
        ["zero.preset=auto", "zero.stage=3", "zero.offload_optimizer=nvme", f"zero.nvme_path={tmp_path}"],
    )
    places = read_machine(made, this_caller(), ask_hub=False).places
    assert places[-1].what == "swap files"
    assert places[-1].direct is not None


def test_a_launch_hears_doubts_without_any_trial(monkeypatch: pytest.MonkeyPatch) -> None:
    def forbidden(*args: object, **kwargs: object) -> dict[str, Outcome]:
        raise AssertionError("a launch tries nothing")

    monkeypatch.setattr(checkup, "run_trials", forbidden)
    made = plan("quickstart")
    before = {finding.check for finding in doubts(made)}
    monkeypatch.setenv("DEEPSPEED_TIMEOUT", "5")
    assert {finding.check for finding in doubts(made)} - before == {"stray_variables"}


def test_nothing_of_the_recipe_is_written(tmp_path: Path) -> None:
    look_at(asked(), report=quiet)
    assert list(tmp_path.iterdir()) == []
