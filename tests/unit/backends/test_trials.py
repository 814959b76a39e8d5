"""Which trials are made, with what, and that none is made in vain; the trials themselves are replaced."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.examining import READINGS, healthy, with_readings
from tests.plans import make_recipe
from tunekit.backends import trials
from tunekit.backends.probing import Step
from tunekit.backends.trials import NEEDS_TORCH, TRIES, run_trials
from tunekit.doctor.readings import Place
from tunekit.hardware.probing import Options, Outcome
from tunekit.memory.terms import MemoryTerm
from tunekit.recipe.job import Quantization
from tunekit.units import GIB

NF4 = Quantization(kind="nf4", double_quant=True)
OFFLOADED = {"offload_optimizer": "cpu", "pin_memory": True}


class Steps:
    """In place of processes: what each was told."""

    def __init__(self) -> None:
        self.calls: dict[str, tuple[Options, Mapping[str, str], float]] = {}

    def __call__(
        self,
        step: Step,
        options: Options,
        *,
        env: Mapping[str, str],
        limit: float,
        folder: Path,
        waiting: Callable[[], None],
    ) -> Outcome:
        waiting()
        self.calls[step.name] = (options, env, limit)
        return Outcome(title=step.title, found={"done": step.name})


@pytest.fixture
def steps(monkeypatch: pytest.MonkeyPatch) -> Steps:
    made = Steps()
    monkeypatch.setattr(trials, "run_step", made)
    monkeypatch.setattr(trials, "find_spec", lambda name: object())
    monkeypatch.setattr(trials.hub, "local_model_dir", lambda path, revision: Path("/models/tiny"))
    return made


def tried(case: Any) -> list[str]:
    return list(run_trials(case, report=lambda text: None))


def test_a_machine_without_cards_tries_ops_and_data_only(steps: Steps) -> None:
    assert tried(healthy(cards=False)) == ["ops", "rows"]
    assert steps.calls["ops"][1]["DS_ACCELERATOR"] == "cpu"
    assert tried(healthy(cards=False, plan=False)) == ["ops"]
    assert steps.calls["ops"][0].ops.endswith("/cpu_adam/cpu_adam.so")


def test_an_op_that_rests_on_another_is_not_loaded_alone(steps: Steps) -> None:
    nvme = {"offload_optimizer": "nvme", "nvme_path": "/nvme"}
    tried(healthy(cards=False, job={"zero": nvme}))
    names = [Path(path).stem for path in steps.calls["ops"][0].ops.split(",")]
    assert names == ["deepspeed_shm_comm", "cpu_adam", "pin_memory", "async_io"]
    case = healthy(cards=False, job={"zero": nvme})
    tried(with_readings(case, ops=replace(READINGS.ops, built=("cpu_adam", "async_io"))))
    assert [Path(path).stem for path in steps.calls["ops"][0].ops.split(",")] == ["cpu_adam"]


def test_cards_are_tried_the_exchange_last(steps: Steps) -> None:
    found = tried(healthy())
    assert found == ["cuda", "rows", "copies", "collectives"]
    alone = with_readings(healthy(), cards=replace(READINGS.cards, shown=READINGS.cards.shown[:1]))
    assert "collectives" not in tried(alone)
    assert "four_bit" in tried(healthy(plan=False))


def test_what_the_recipe_asks_for_is_tried(steps: Steps) -> None:
    term = MemoryTerm(name="gradients in RAM", phases=(), host_bytes=4 * GIB, formula="", source="", kind="exact")
    case = healthy(job={"quantization": NF4, "attention": "flash_attention_2", "zero": OFFLOADED})
    assert case.plan is not None
    plan = replace(case.plan, memory=replace(case.plan.memory, terms=(term,)))
    swap = Place(what="swap files", path="/nvme/not/there/yet", free_bytes=0, file_system="xfs")
    case = with_readings(replace(case, plan=plan), places=(swap,))
    assert tried(case) == [each.trial for each in TRIES]
    assert steps.calls["pinned"][0].free_bytes == 4 * GIB
    assert steps.calls["drive"][0].folder == Path("/")
    assert all(limit <= 120 for _, _, limit in steps.calls.values())


def test_trials_get_what_the_ranks_get_and_nothing_stray(steps: Steps, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RANK", "3")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,1")
    tried(healthy())
    _, env, _ = steps.calls["collectives"]
    assert "RANK" not in env
    assert (env["CUDA_VISIBLE_DEVICES"], env["NCCL_P2P_DISABLE"], env["OMP_NUM_THREADS"]) == ("0,1", "1", "6")
    options, env, _ = steps.calls["rows"]
    assert options.plan.name == "plan.json"
    assert not options.plan.exists()
    assert env["HF_DATASETS_CACHE"].startswith(str(options.plan.parent))


def test_without_torch_nothing_of_it_is_tried(steps: Steps, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trials, "find_spec", lambda name: None)
    found = run_trials(healthy(), report=lambda text: None)
    assert {outcome.missing for outcome in found.values()} == {NEEDS_TORCH}
    assert steps.calls == {}


def test_data_that_are_not_here_are_not_read(steps: Steps, monkeypatch: pytest.MonkeyPatch) -> None:
    def why(case: Any) -> str:
        return run_trials(case, report=lambda text: None)["rows"].missing

    far = healthy(job={"recipe": make_recipe(data={"path": "some/data"})})
    assert "read from the hub" in why(far)
    lacking = with_readings(healthy(), missing_modules=("trl",))
    assert why(lacking) == "needs packages that are not installed: trl"
    monkeypatch.setattr(trials.hub, "local_model_dir", lambda path, revision: None)
    assert "needs the tokenizer" in why(healthy())


def test_progress_is_said(steps: Steps) -> None:
    said: list[str] = []
    run_trials(healthy(cards=False), report=said.append)
    assert said == ["loading DeepSpeed's ops (1 of 2)", "reading tokenizer and data (2 of 2)"]
