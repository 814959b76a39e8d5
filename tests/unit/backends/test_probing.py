"""The order, the limits and the failures of a probe; the measurements themselves are replaced."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.planning import laptop, machine
from tunekit.backends import probing
from tunekit.backends.probing import LIMIT_SECONDS, PLAIN, STEPS, TORCH, left_out, run_probe
from tunekit.hardware.probing import Outcome
from tunekit.hardware.spec import Hardware
from tunekit.launcher.caller import this_caller


class Children:
    """In place of processes: what each was told, and what it answers."""

    def __init__(self, answers: Mapping[str, Any]) -> None:
        self.answers = answers
        self.calls: list[tuple[str, float, Mapping[str, str], Sequence[str]]] = []

    def __call__(
        self, argv: Sequence[str], *, env: Mapping[str, str], log: Path, limit: float, waiting: Callable[[], None]
    ) -> int | None:
        name, result = argv[3], Path(argv[5])
        self.calls.append((name, limit, env, argv))
        waiting()
        answer = self.answers.get(name, {})
        if isinstance(answer, dict):
            result.write_text(json.dumps(answer))
            return 0
        log.write_text(f"noise\n{answer}\n\n" if answer else "")
        return None if answer == "hangs" else 1


def probed(
    monkeypatch: pytest.MonkeyPatch, box: Hardware, answers: Mapping[str, Any] | None = None
) -> tuple[list[Outcome], Children, list[str]]:
    children, said = Children(answers or {}), []
    monkeypatch.setattr(probing, "run_child", children)
    monkeypatch.setattr(probing, "find_spec", lambda name: object())
    return run_probe(box, this_caller(), report=said.append), children, said


def test_every_measurement_runs_once_in_its_own_process(monkeypatch: pytest.MonkeyPatch) -> None:
    found, children, said = probed(monkeypatch, machine(), {"ram": {"ram_bandwidth": 5e10}})
    assert [name for name, *_ in children.calls] == ["ram", "drive", "matmul", "copies", "adam", "collectives"]
    assert found[0].found == {"ram_bandwidth": 5e10}
    assert not any(outcome.missing for outcome in found)
    assert said[0] == "measuring RAM (1 of 6)"
    modules = {name: argv[2] for name, _, _, argv in children.calls}
    assert modules == {step.name: step.module for step in STEPS}


def test_no_measurement_may_take_what_later_ones_need(monkeypatch: pytest.MonkeyPatch) -> None:
    _, children, _ = probed(monkeypatch, machine())
    later = sum(step.least for step in STEPS[1:])
    assert 0 < children.calls[0][1] <= LIMIT_SECONDS - later
    assert sum(step.least for step in STEPS) <= LIMIT_SECONDS
    # Nothing has taken any time, so the last one may have nearly all.
    assert LIMIT_SECONDS - 5 < children.calls[-1][1] <= LIMIT_SECONDS
    assert all(step.least > step.seconds for step in STEPS)


def test_failures_and_hangs_are_told_and_stop_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    answers = {"matmul": "OutOfMemoryError: CUDA out of memory", "copies": "", "collectives": "hangs"}
    found, children, _ = probed(monkeypatch, machine(), answers)
    assert len(children.calls) == 6
    missing = {outcome.title: outcome.missing for outcome in found if outcome.missing}
    assert missing["matrix products"] == "OutOfMemoryError: CUDA out of memory"
    assert missing["copies between RAM and cards"] == "it ended with code 1"
    assert missing["all-gather and all-reduce"].startswith("not done after 5")


def test_cards_without_peer_access_exchange_through_ram(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    _, children, _ = probed(monkeypatch, machine())
    env = {name: env for name, _, env, _ in children.calls}
    assert env["collectives"]["NCCL_P2P_DISABLE"] == "1"
    assert (env["adam"]["OMP_NUM_THREADS"], env["collectives"]["OMP_NUM_THREADS"]) == ("12", "6")


def test_what_makes_no_sense_here_is_left_out_and_said(monkeypatch: pytest.MonkeyPatch) -> None:
    found, children, _ = probed(monkeypatch, laptop())
    assert "copies" not in [name for name, *_ in children.calls]
    assert found[-1] == Outcome(title="copies between RAM and cards", found={}, missing="no card here")
    one = replace(machine(), gpus=machine().gpus[:1])
    found, _, _ = probed(monkeypatch, one)
    assert found[-1].missing == "one card has nobody to exchange with"


def test_without_torch_the_rest_is_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(probing, "find_spec", lambda name: None)
    said = {step.name: left_out(step, laptop()) for step in STEPS}
    assert said["adam"] == "needs torch: pip install 'tunekit[train]'"
    assert {step.module for step in STEPS if not left_out(step, laptop())} == {PLAIN}
    assert {step.module for step in STEPS} == {PLAIN, TORCH}


def test_deepspeeds_adam_is_timed_where_it_is_built(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("TORCH_EXTENSIONS_DIR", str(tmp_path))
    _, children, _ = probed(monkeypatch, laptop())
    assert "--adam-op=" in children.calls[-2][3]
    monkeypatch.setattr(probing, "missing_ops", lambda folder, ops: ())
    _, children, _ = probed(monkeypatch, laptop())
    assert f"--adam-op={tmp_path}/cpu_adam/cpu_adam.so" in children.calls[-2][3]
