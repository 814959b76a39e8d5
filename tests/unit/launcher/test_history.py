from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.measured import a_measurement, a_rank
from tests.plans import DUAL_4090, SHAPE, make_plan
from tests.runs import write_json, write_run
from tunekit.launcher import history
from tunekit.launcher.history import find_measured
from tunekit.planner.plan import Plan
from tunekit.units import GIB

PLAN = make_plan()


def ran(path: Path, plan: Plan, *, age: float = 0.0, measured: Any = None) -> None:
    """A finished run of `plan`, `age` seconds old."""
    run_dir = write_run(path, plan)
    write_json(run_dir.measured, measured if measured is not None else a_measurement(a_rank(), a_rank(rank=1)))
    os.utime(run_dir.measured, (1e9 - age, 1e9 - age))


def test_the_same_job_is_found_whatever_it_was_called_and_learned(tmp_path: Path) -> None:
    other_words = replace(PLAN, model_shape=replace(SHAPE, name="my/copy"), job=replace(PLAN.job, learning_rate=9e-4))
    ran(tmp_path / "a", other_words)
    found = find_measured(PLAN, [tmp_path])
    assert found is not None
    assert (found.run, found.date, found.differs) == (str(tmp_path / "a"), "2001-09-09", ())
    assert [(peak.place, peak.bytes) for peak in found.peaks] == [("host", 4 * GIB)]


def test_a_folder_below_home_is_looked_into(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    ran(tmp_path / "runs" / "a", PLAN)
    found = find_measured(PLAN, [Path("~/runs")])
    assert found is not None
    assert found.run == str(tmp_path / "runs" / "a")


@pytest.mark.parametrize(("marked", "rate"), [(348.2, 348.2), (0.0, None), ("fast", None), (None, None)])
def test_its_speed_is_told_where_it_ended(tmp_path: Path, marked: Any, rate: float | None) -> None:
    ran(tmp_path / "a", PLAN)
    write_json(tmp_path / "a" / "success.json", {"tokens_per_second": marked})
    found = find_measured(PLAN, [tmp_path])
    assert found is not None
    assert found.tokens_per_second == rate


def test_a_similar_job_says_what_differs_by_the_recipes_keys(tmp_path: Path) -> None:
    ran(tmp_path / "a", make_plan(max_seq_length=512, activation_checkpointing=True))
    found = find_measured(PLAN, [tmp_path])
    assert found is not None
    assert found.differs == ("train.max_seq_length=512", "train.activation_checkpointing=true")


def test_the_nearest_counts_and_then_the_newest(tmp_path: Path) -> None:
    ran(tmp_path / "near_new", make_plan(max_seq_length=512))
    ran(tmp_path / "same_old", PLAN, age=100)
    ran(tmp_path / "same_older", PLAN, age=200)
    found = find_measured(PLAN, [tmp_path])
    assert found is not None
    assert Path(found.run).name == "same_old"


@pytest.mark.parametrize(
    "other",
    [
        make_plan(DUAL_4090),
        make_plan(method="full", adapter=None),
        replace(PLAN, model_shape=replace(SHAPE, num_layers=3)),
        make_plan(max_seq_length=1, loss="chunked", packing=False, precision="fp32", attention="eager"),
    ],
    ids=["another accelerator", "another method", "another shape", "five differences"],
)
def test_what_is_not_similar_is_not_shown(tmp_path: Path, other: Plan) -> None:
    ran(tmp_path / "a", other)
    assert find_measured(PLAN, [tmp_path]) is None


def test_folders_may_be_missing_named_twice_and_hold_other_things(tmp_path: Path) -> None:
    (tmp_path / "unfinished").mkdir()
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "measured.json").write_text("{")
    ran(tmp_path / "foreign", PLAN, measured={"ranks": ["x"]})
    assert find_measured(PLAN, [tmp_path, tmp_path / "nothing"]) is None
    ran(tmp_path / "a", PLAN)
    assert find_measured(PLAN, [tmp_path, tmp_path]) is not None


def test_only_the_newest_are_looked_at(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(history, "NEWEST_RUNS", 1)
    ran(tmp_path / "same", PLAN, age=100)
    ran(tmp_path / "other", make_plan(DUAL_4090))
    assert find_measured(PLAN, [tmp_path]) is None


def test_every_field_that_is_compared_exists() -> None:
    qlora = make_plan(DUAL_4090)
    job = history._plain(history.asdict(qlora.job))
    named = {path for path in history._KEYS if not path.startswith("quantization.")}
    assert all(history._value(job, path) is not None for path in named)
