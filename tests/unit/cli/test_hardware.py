"""`tunekit hardware`: what it prints."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tunekit.cli.hardware import copy_hardware, list_hardware, show_hardware
from tunekit.errors import UsageError
from tunekit.hardware.profiles import profile_names
from tunekit.source import find_hardware


def test_the_list_names_every_machine_within_80_columns(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    list_hardware(json=False)
    lines = capsys.readouterr().out.splitlines()
    names = [line.split()[0] for line in lines[1:-1]]
    assert names == [*profile_names(), "local"]
    row = next(line for line in lines if line.startswith("dual_rtx4090 "))
    assert row.split() == ["dual_rtx4090", "2", "x", "RTX", "4090", "23.5", "4.0", "x8", "no", "81", "7.2"]
    assert max(len(line) for line in lines) <= 80


def test_a_narrow_terminal_cuts_no_name(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "60")
    list_hardware(json=False)
    printed = capsys.readouterr().out
    assert "dual_rtx4090_7950x3d" in printed
    assert "NVLink" in printed


def test_one_machine_with_its_numbers(capsys: pytest.CaptureFixture[str]) -> None:
    show_hardware("dual_rtx4090", json=False)
    said = capsys.readouterr().out
    for part in (
        "24.0 GiB reported, 23.5 GiB usable",
        "165.2 TFLOPS bf16, 1,008 GB/s, 450 W",
        "PCIe 4.0 x8, no peers",
        "94.0 GiB seen, 81.0 GiB usable",
        "nvme2: 4,000 GB, 3,600 GB usable",
        "tunekit plan RECIPE --on dual_rtx4090",
    ):
        assert part in said


def test_links_in_words(capsys: pytest.CaptureFixture[str]) -> None:
    show_hardware("8x_h100_80gb", json=False)
    show_hardware("single_rtx4090", json=False)
    said = capsys.readouterr().out
    assert "PCIe 4.0 x16, NVLink 450 GB/s each way" in said
    assert any(line.split() == ["Links", "PCIe", "4.0", "x16"] for line in said.splitlines())


def test_this_machine_is_probed(capsys: pytest.CaptureFixture[str]) -> None:
    show_hardware("local", json=True)
    machine = json.loads(capsys.readouterr().out)
    assert machine["name"] == "local"
    assert machine["world_size"] >= 1
    assert machine["source"].startswith("probed now")


def test_the_list_as_json(capsys: pytest.CaptureFixture[str]) -> None:
    list_hardware(json=True)
    machines = {machine["name"]: machine for machine in json.loads(capsys.readouterr().out)}
    assert set(machines) == {*profile_names(), "local"}
    assert machines["quad_rtx4090"]["world_size"] == 4
    assert machines["dual_rtx4090"]["gpus"][0]["usable_bytes"] == 25_232_932_864


def test_an_unknown_machine() -> None:
    with pytest.raises(UsageError, match="Did you mean dual_rtx4090"):
        show_hardware("dual_rtx4900", json=False)


def test_nothing_stands_behind_the_text_and_no_line_is_longer_than_the_page(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    for name in ("dual_rtx4090", "a100_80gb"):
        show_hardware(name, json=False)
    list_hardware(json=False)
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) > 30
    assert all(line == line.rstrip() for line in lines)
    assert max(map(len, lines)) <= 80


def test_a_copy_is_a_machine_of_its_own_and_overwrites_nothing(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    file = tmp_path / "mine.yaml"
    copy_hardware("dual_rtx4090", file)
    assert f"Copied dual_rtx4090 to {file}. Next: tunekit plan RECIPE --on {file}" in capsys.readouterr().out
    assert find_hardware(str(file)).gpus == find_hardware("dual_rtx4090").gpus
    before = file.read_text()
    with pytest.raises(UsageError, match="exists and is not overwritten"):
        copy_hardware("a100_80gb", file)
    assert file.read_text() == before
    with pytest.raises(UsageError, match="no profile dual_rtx409;.*hardware copy NAME FILE"):
        copy_hardware("dual_rtx409", tmp_path / "no.yaml")
    with pytest.raises(UsageError, match="hardware probe --write"):
        copy_hardware("local", tmp_path / "no.yaml")
    assert not (tmp_path / "no.yaml").exists()
