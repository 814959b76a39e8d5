from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from tests.plans import CPU_BOX, DUAL_4090
from tunekit.errors import UsageError
from tunekit.hardware.calibration import Calibration
from tunekit.probes.calibration_file import (
    calibrated_hardware,
    calibration_path,
    forget_calibration,
    read_calibration,
    write_calibration,
)
from tunekit.units import MIB

MEASURED = Calibration(
    machine=CPU_BOX.parts, date="2026-11-22", runs=("runs/a", "runs/b"), rank_bytes=700 * MIB, packed_margin=0.04
)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "settings" / "calibration.yaml"


def test_the_file_lies_with_the_users_settings() -> None:
    assert calibration_path({"XDG_CONFIG_HOME": "/settings"}) == Path("/settings/tunekit/calibration.yaml")
    assert calibration_path({}) == Path.home() / ".config/tunekit/calibration.yaml"


def test_what_is_written_is_read_by_this_machine_alone(path: Path) -> None:
    assert read_calibration(CPU_BOX.parts, path) is None
    write_calibration(MEASURED, path)
    assert read_calibration(CPU_BOX.parts, path) == MEASURED
    assert calibrated_hardware(CPU_BOX, path).calibration == MEASURED
    assert calibrated_hardware(DUAL_4090, path).calibration is None


def test_the_file_is_plain_yaml_that_says_what_it_is(path: Path) -> None:
    write_calibration(MEASURED, path)
    text = path.read_text()
    assert text.startswith("# What runs measured on your machines")
    entry = yaml.safe_load(text)["machines"][CPU_BOX.parts]
    assert entry == {
        "rank_bytes": 700 * MIB, "packed_margin": 0.04, "date": "2026-11-22", "runs": ["runs/a", "runs/b"]
    }  # fmt: skip


def test_other_machines_are_kept_when_one_is_written_or_forgotten(path: Path) -> None:
    other = Calibration(machine=DUAL_4090.parts, date="2026-11-21", runs=("x",), context_bytes=320 * MIB)
    write_calibration(other, path)
    write_calibration(MEASURED, path)
    assert forget_calibration(CPU_BOX.parts, path)
    assert read_calibration(CPU_BOX.parts, path) is None
    assert read_calibration(DUAL_4090.parts, path) == other
    assert not forget_calibration(CPU_BOX.parts, path)


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("machines: [", "calibration.yaml: while parsing"),
        ("rank_bytes: 7", "it has no `machines:` section"),
        ("machines: {%s: 7}", "7 is no list of figures"),
        ("machines: {%s: {rank_bytes: 5}}", "rank_bytes is 5; allowed: a whole number of bytes from"),
        ("machines: {%s: {factor: 1.1}}", "factor is no figure"),
    ],
)
def test_a_broken_file_is_told_with_the_way_out(path: Path, text: str, part: str) -> None:
    path.parent.mkdir()
    path.write_text(text.replace("%s", f'"{CPU_BOX.parts}"'))
    with pytest.raises(UsageError, match="tunekit calibrate --reset") as error:
        calibrated_hardware(CPU_BOX, path)
    assert part in str(error.value)
    assert forget_calibration(CPU_BOX.parts, path)
    assert read_calibration(CPU_BOX.parts, path) is None


def test_a_folder_that_cannot_be_made_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UsageError, match="cannot be written.*XDG_CONFIG_HOME"):
        write_calibration(MEASURED, tmp_path / "file" / "calibration.yaml")
