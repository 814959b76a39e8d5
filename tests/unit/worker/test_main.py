from __future__ import annotations

import json
import sys
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from tests.plans import CPU_BOX, make_plan
from tunekit.planner.plan_json import plan_to_json
from tunekit.recipe.job import Quantization
from tunekit.worker import main as module
from tunekit.worker.main import leave_out_bitsandbytes, limit_threads, main, read_options

THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS")


@pytest.fixture(autouse=True)
def _environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (*THREADS, "TOKENIZERS_PARALLELISM", "RANK"):
        monkeypatch.setenv(name, "to be restored")
        monkeypatch.delenv(name)
    monkeypatch.setitem(sys.modules, "bitsandbytes", ModuleType("bitsandbytes"))


def test_options_name_the_plan_and_the_checkpoint() -> None:
    options = read_options(["--plan", "run/plan.json", "--resume-from", "run/checkpoints/checkpoint-3"])
    assert options.plan == Path("run/plan.json")
    assert options.resume_from == Path("run/checkpoints/checkpoint-3")
    assert read_options(["--plan", "run/plan.json"]).resume_from is None


def test_cores_are_shared_by_the_ranks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_cores", lambda: 9)
    assert limit_threads(make_plan(CPU_BOX)) == 4
    assert [module.os.environ[name] for name in THREADS] == ["4", "4"]


def test_there_is_one_thread_at_least(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_cores", lambda: 1)
    assert limit_threads(make_plan(CPU_BOX)) == 1


def test_threads_that_are_set_stay(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    assert limit_threads(make_plan(CPU_BOX)) == 3
    assert module.os.environ["MKL_NUM_THREADS"] == "3"


@pytest.mark.parametrize(
    ("job", "left_out"),
    [
        ({}, True),
        ({"quantization": Quantization(kind="nf4", double_quant=True)}, False),
        ({"optimizer": "adamw_8bit"}, False),
        ({"optimizer": "paged_adamw_8bit"}, False),
    ],
)
def test_bitsandbytes_is_left_out_where_nothing_is_quantised(
    monkeypatch: pytest.MonkeyPatch, job: dict[str, Any], left_out: bool
) -> None:
    monkeypatch.delitem(sys.modules, "bitsandbytes")
    leave_out_bitsandbytes(make_plan(CPU_BOX, **job))
    assert (find_spec("bitsandbytes") is None) == left_out


def test_bitsandbytes_stays_once_it_is_there() -> None:
    there = sys.modules["bitsandbytes"]
    leave_out_bitsandbytes(make_plan(CPU_BOX))
    assert sys.modules["bitsandbytes"] is there


def test_a_plan_that_cannot_be_read_is_a_failure_of_the_start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RANK", "1")
    (tmp_path / "plan.json").write_text("{}")
    assert main(["--plan", str(tmp_path / "plan.json")]) == 1
    failure = json.loads((tmp_path / "failure.json").read_text())
    assert (failure["rank"], failure["phase"], failure["type"]) == (1, "start", "UsageError")
    assert not (tmp_path / "success.json").exists()


def test_the_plan_is_handed_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = pytest.importorskip("tunekit.worker.run")
    plan = make_plan(CPU_BOX)
    (tmp_path / "plan.json").write_text(json.dumps(plan_to_json(plan)))
    seen = []
    monkeypatch.setattr(run, "run", lambda *args: seen.append((args[0], args[3])) or 130)
    words = ["--resume-from", "here", "--weights-only", "--no-rehearsal"]
    assert main(["--plan", str(tmp_path / "plan.json"), *words]) == 130
    assert seen == [(plan, run.Origin(checkpoint=Path("here"), weights_only=True, rehearses=False))]
