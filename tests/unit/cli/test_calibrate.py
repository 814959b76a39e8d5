from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.measured import a_measurement, a_rank
from tests.plans import CPU_BOX, make_plan
from tests.runs import write_json, write_run
from tunekit.cli import calibrate as module
from tunekit.cli.calibrate import calibrate_machine
from tunekit.errors import UsageError
from tunekit.probes.calibration_file import read_calibration
from tunekit.units import MIB


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine without cards, and a finished run of it."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "settings"))
    monkeypatch.setattr(module, "probe_hardware", lambda: CPU_BOX)
    monkeypatch.setattr(module, "_today", lambda: "2026-11-22")
    run_dir = write_run(tmp_path / "runs" / "a", make_plan())
    write_json(run_dir.measured, a_measurement(a_rank(), a_rank(rank=1), machine=CPU_BOX.parts))


def run(*names: str, show: bool = False, reset: bool = False, as_json: bool = False) -> None:
    calibrate_machine(names, show=show, reset=reset, json=as_json)


def test_a_run_is_taken_over_shown_and_forgotten(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "settings/tunekit/calibration.yaml"
    run("a")
    printed = capsys.readouterr().out
    for part in (
        "no GPU, a desktop",
        "RAM of a rank after its imports",
        "600 MiB",
        "700 MiB",
        "From runs/a",
        str(file),
    ):
        assert part in printed
    found = read_calibration(CPU_BOX.parts, file)
    assert found is not None
    assert found.figures == {"rank_bytes": 700 * MIB}
    run(show=True)
    assert "700 MiB" in capsys.readouterr().out
    run(reset=True)
    assert "is forgotten" in capsys.readouterr().out
    assert read_calibration(CPU_BOX.parts, file) is None
    run(show=True)
    assert "nothing is calibrated yet; `tunekit calibrate RUN`" in capsys.readouterr().out


def test_json(capsys: pytest.CaptureFixture[str]) -> None:
    run("runs/a", as_json=True)
    told = json.loads(capsys.readouterr().out)
    assert (told["machine"], told["figures"], told["runs"]) == (CPU_BOX.parts, {"rank_bytes": 700 * MIB}, ["runs/a"])
    run(reset=True)
    capsys.readouterr()
    run(show=True, as_json=True)
    assert json.loads(capsys.readouterr().out)["figures"] == {}


@pytest.mark.parametrize(("names", "options"), [([], {}), (["a"], {"show": True}), ([], {"show": True, "reset": True})])
def test_one_thing_at_a_time(names: list[str], options: dict[str, bool]) -> None:
    with pytest.raises(UsageError, match="Name finished runs .*--show and --reset"):
        run(*names, **options)


def test_a_run_that_did_not_finish_is_refused(tmp_path: Path) -> None:
    write_run(tmp_path / "runs" / "b", make_plan())
    with pytest.raises(UsageError, match="b has no measured.json: only a run that finished"):
        run("b")


def test_a_damaged_plan_is_named_with_its_file(tmp_path: Path) -> None:
    plan = tmp_path / "runs" / "a" / "plan.json"
    plan.write_text("{}")
    with pytest.raises(UsageError, match=f"^{plan}: "):
        run("a")


def test_no_such_run() -> None:
    with pytest.raises(UsageError, match="nowhere is not a run directory"):
        run("nowhere")
