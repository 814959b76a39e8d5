from __future__ import annotations

import io
import signal
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console
from trials import command
from trials.command import machine_of, origin_of, run, run_missing
from trials.rows import Origin, case_name, read_file

from tests.plans import CPU_BOX, DUAL_4090


@pytest.fixture(autouse=True)
def _handlers() -> Iterator[None]:
    """The command takes SIGTERM over; other tests get it back."""
    before = signal.getsignal(signal.SIGTERM)
    yield
    signal.signal(signal.SIGTERM, before)


def test_without_a_card_a_clear_message_and_code_4(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(command, "probe_hardware", lambda: replace(CPU_BOX, source="no NVIDIA driver answers"))
    with pytest.raises(SystemExit) as ended:
        machine_of("cuda")
    assert ended.value.code == 4
    told = capsys.readouterr().err
    for part in ("No CUDA GPU here", "no NVIDIA driver answers", "--accelerator cpu --grid tiny"):
        assert part in told
    assert machine_of("cpu") == replace(CPU_BOX, source="no NVIDIA driver answers")


def test_a_machine_with_cards_can_be_measured_as_if_it_had_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(command, "probe_hardware", lambda: DUAL_4090)
    assert machine_of("cuda") is DUAL_4090
    assert machine_of("cpu").gpus == ()


def test_only_cases_without_rows_are_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, trial: Any, origin: Origin
) -> None:
    ran: list[str] = []

    def fake(case: Any, *_: Any, **__: Any) -> Any:
        ran.append(case.name)
        return trial(CPU_BOX, case)

    monkeypatch.setattr(command, "run_case", fake)
    case, out = trial().case, tmp_path / "rows.csv"
    cases = [case, replace(case, length=256), replace(case, length=512)]
    for known in (cases[:1], cases):
        run_missing(known, origin, out, Console(file=io.StringIO()), timeout=1.0)
    assert ran == [each.name for each in cases]
    rows = read_file(out)
    assert {case_name(row) for row in rows} == set(ran)
    assert [row["row_id"] for row in rows] == [f"TKX-{number:04d}" for number in range(1, len(rows) + 1)]


def test_the_origin_has_the_revision_and_the_versions() -> None:
    found = origin_of("x.py", "TKX", CPU_BOX)
    assert found.script == "benchmarks/x.py"
    assert set(found.versions) == set(command.PACKAGES)
    assert found.date.count("-") == 2


def test_listing_names_the_cases_and_runs_nothing(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(command, "run_case", lambda *_, **__: pytest.fail("ran"))
    monkeypatch.setattr("sys.argv", ["x", "--list", "--grid", "tiny"])
    run("x.py", about="x", prefix="TKX", accelerator="cpu", grids=("cpu",))
    assert capsys.readouterr().out.count("smollm2-135m-1l-") == 4


def test_ended_from_outside_it_ends_in_order(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.argv", ["x", "--list", "--grid", "tiny"])
    run("x.py", about="x", prefix="TKX", accelerator="cpu", grids=("cpu",))
    with pytest.raises(SystemExit) as ended:
        signal.raise_signal(signal.SIGTERM)
    assert ended.value.code == 143
