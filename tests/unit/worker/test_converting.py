from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.plans import make_plan
from tests.runs import write_checkpoint
from tunekit.recipe.job import Job
from tunekit.worker.converting import (
    convert,
    optimizer_state,
    read_optimizer_state,
    rewrite_model_states,
    rewrite_parameter,
    step_of,
)

pytestmark = pytest.mark.train


def job(*, stage: int = 2, ranks: int = 1, **zero: Any) -> Job:
    found = make_plan().job
    return replace(found, zero=replace(found.zero, stage=stage, **zero), batch=replace(found.batch, world_size=ranks))


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """A checkpoint of two ranks."""
    return write_checkpoint(tmp_path, 5)


@pytest.mark.parametrize(
    ("ranks", "names"),
    [
        (1, ["rng_state.pth"]),
        (2, ["rng_state_0.pth", "rng_state_1.pth"]),
        (3, [f"rng_state_{n}.pth" for n in range(3)]),
    ],
)
def test_every_rank_finds_random_numbers(source: Path, tmp_path: Path, ranks: int, names: list[str]) -> None:
    plan = replace(make_plan(), job=job(ranks=ranks))
    convert(source, tmp_path / "to", plan, "weights")
    assert sorted(path.name for path in (tmp_path / "to").glob("rng*") if path.name in names) == names
    state = json.loads((tmp_path / "to" / "trainer_state.json").read_text())
    assert state == {"global_step": 5, "train_batch_size": plan.job.batch.micro_batch_size}
    assert (tmp_path / "to" / "adapter_model.safetensors").is_file()


def test_whole_states_are_read_by_any_number_of_ranks(source: Path, tmp_path: Path) -> None:
    (tmp_path / "to").mkdir()
    (tmp_path / "to" / "left over").touch()
    convert(source, tmp_path / "to", replace(make_plan(), job=job(ranks=1)), "spread")
    assert (tmp_path / "to" / "latest").read_text() == "global_step5"
    assert (tmp_path / "to" / "global_step5" / "mp_rank_00_model_states.pt").is_file()
    assert not (tmp_path / "to" / "left over").exists()


def test_the_optimizers_of_both_dialects_say_the_same(tmp_path: Path) -> None:
    groups = [{"lr": 0.5, "weight_decay": 0.1, "params": [0]}, {"lr": 0.5, "weight_decay": 0.0, "params": [1]}]
    two, three = tmp_path / "two" / "zero", tmp_path / "three" / "zero"
    for folder in (two / "w", three):
        folder.mkdir(parents=True)
    torch.save({"param_groups": groups, "clip_grad": 1.0, "partition_count": 2}, two / "optimizer_state.pt")
    torch.save(torch.tensor(7.0), two / "w" / "step.pt")
    states = {"state": {0: {"step": torch.tensor(7.0)}}, "param_groups": groups}
    torch.save({"optimizer_state_dict": states, "clip_grad": 1.0}, three / "optimizer_state.pt")
    expected = {"clip_grad": 1.0, "step": 7, "param_groups": groups}
    assert read_optimizer_state(tmp_path / "two") == read_optimizer_state(tmp_path / "three") == expected
    assert "clip_grad" not in optimizer_state({"step": 1, "param_groups": groups}, job()), "the plan's stays"
    assert optimizer_state(expected, job())["ds_version"]
    assert optimizer_state(expected, job())["param_groups"] == [{"lr": 0.5, "params": []}] * 16, (
        "decay stays each one's"
    )
    written = optimizer_state(expected, job(stage=3))["optimizer_state_dict"]
    assert (float(written["state"][0]["step"]), len(written["param_groups"])) == (7.0, 16)


def test_deepspeeds_optimizer_counts_in_numbers_and_torchs_in_tensors() -> None:
    assert step_of(3, job(offload_optimizer="cpu")) == 3
    assert torch.equal(step_of(3, job()), torch.tensor(3.0))


@pytest.mark.parametrize("stage", [2, 3])
def test_a_parameter_is_written_as_the_stage_reads_it(tmp_path: Path, stage: int) -> None:
    tensor = torch.arange(6.0).view(2, 3)
    for name, value in (("fp32", tensor), ("exp_avg", {"param": tensor, "cat_dim": 0}), ("exp_avg_sq", tensor)):
        torch.save(value, tmp_path / f"{name}.pt")
    torch.save(1, tmp_path / "step.pt")
    rewrite_parameter(tmp_path, 4, job(stage=stage))
    found = [torch.load(tmp_path / f"{name}.pt") for name in ("fp32", "exp_avg", "exp_avg_sq")]
    for value in found:
        assert torch.equal(value if stage == 3 else value["param"], tensor.flatten())
    assert (tmp_path / "step.pt").exists() == (stage != 3)


def test_states_in_bf16_are_read_as_such(tmp_path: Path) -> None:
    for name in ("fp32", "exp_avg", "exp_avg_sq"):
        torch.save(torch.ones(2), tmp_path / f"{name}.pt")
    rewrite_parameter(tmp_path, 4, job(stage=3, bf16_states=True, offload_optimizer="cpu"))
    assert torch.load(tmp_path / "exp_avg.pt").dtype == torch.bfloat16


@pytest.mark.parametrize(
    ("stage", "name"), [(2, "mp_rank_00_model_states.pt"), (3, "zero_pp_rank_0_mp_rank_00_model_states.pt")]
)
def test_counters_are_kept_under_the_name_that_is_looked_for(tmp_path: Path, stage: int, name: str) -> None:
    for rank in range(2):
        states = {"module": {"w": torch.ones(2)}, "global_steps": 4}
        torch.save(states, tmp_path / f"zero_pp_rank_{rank}_mp_rank_00_model_states.pt")
    rewrite_model_states(tmp_path, job(stage=stage))
    assert [path.name for path in tmp_path.iterdir()] == [name]
    assert torch.load(tmp_path / name) == {"module": {}, "global_steps": 4, "lr_scheduler": {"lr_lambdas": []}}
