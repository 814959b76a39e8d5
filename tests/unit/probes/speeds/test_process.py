"""A measurement as a process."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tunekit.hardware.probing import Options, Result
from tunekit.probes.speeds.process import run_measurement


def echo(options: Options) -> Result:
    return {"cores": options.cores, "folder": str(options.folder), "op": options.adam_op}


def broken(options: Options) -> Result:
    raise OSError("no\nroom")


def test_what_it_is_told_and_what_it_leaves(tmp_path: Path) -> None:
    result = tmp_path / "result.json"
    argv = ["echo", "--result", str(result), *Options(cores=3, folder=tmp_path, adam_op="x.so").argv()]
    assert run_measurement(argv, {"echo": echo}, module="x") == 0
    assert json.loads(result.read_text()) == {"cores": 3, "folder": str(tmp_path), "op": "x.so"}


def test_a_failure_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    result = tmp_path / "result.json"
    assert run_measurement(["broken", "--result", str(result)], {"broken": broken}, module="x") == 1
    assert capsys.readouterr().err == "OSError: no room\n"
    assert not result.exists()
