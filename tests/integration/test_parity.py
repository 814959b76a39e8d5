"""Every ZeRO stage and every offload trains the same model: the same losses, and each rank holds the planned share."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.integration import tiny
from tunekit.launcher.run_dir import RunDir
from tunekit.planner.plan import Plan

pytestmark = [pytest.mark.slow, pytest.mark.train]

FULL = ("z0", "z1", "z1_offload", "z2", "z3", "z2_offload", "z3_offload", "z3_offload_nvme")
LORA = ("z2", "z3", "z2_offload", "z3_offload")
PLACED = {"z1_offload": {"stage": 1, "offload_optimizer": "cpu"}}
"""What has no preset."""
QLORA = ("z2", "z3_qlora", "z2_offload", "z3_offload_optim")  # parameters of a 4-bit base are never offloaded
CASES = [(kind, name) for kind, names in (("full", FULL), ("lora", LORA), ("qlora", QLORA)) for name in names]
RANKS = 2
STEPS = 4
THREE_DIGITS = 1e-3


@dataclass(frozen=True, kw_only=True)
class Trained:
    """One finished run: its plan and what it wrote."""

    plan: Plan
    losses: list[float]
    measured: dict[str, Any]
    success: dict[str, Any]

    @property
    def shards(self) -> list[dict[str, int]]:
        """What each rank held."""
        return [rank["shards"] for rank in self.measured["ranks"]]


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> dict[tuple[str, str], Trained]:
    """Every case, trained by one launch of two real ranks."""
    root = tmp_path_factory.mktemp("parity")
    # Large enough for real swap files: DeepSpeed swaps tensors from 1 MiB on.
    model = tiny.write_model(root / "model", hidden=256, vocabulary=4352)
    data = tiny.write_data(root / "data.jsonl")
    plans = {case: _plan(root, model, data, *case) for case in CASES}
    tiny.build_ops(root / "full-z3_offload_nvme")
    code = tiny.finish(tiny.start([_run(root, *case) for case in CASES]))
    assert code == 0, (_run(root, *CASES[0]) / "launcher.log").read_text()[-4000:]
    return {case: _read(_run(root, *case), plan) for case, plan in plans.items()}


def _run(root: Path, kind: str, preset: str) -> Path:
    return root / f"{kind}-{preset}"


def _plan(root: Path, model: Path, data: Path, kind: str, preset: str) -> Plan:
    zero: dict[str, Any] = {"preset": "auto", **PLACED[preset]} if preset in PLACED else {"preset": preset}
    if preset.startswith("z3"):
        zero["param_persistence_threshold"] = 0
    if preset.endswith("nvme"):
        zero["nvme_path"] = str(root / "nvme")
        (root / "nvme").mkdir()
    run = _run(root, kind, preset)
    # Small steps: large ones magnify the rounding of bf16 sums, which differ in order from stage to stage.
    train = {"max_steps": STEPS, "learning_rate": 1e-4 if kind == "full" else 2e-3}
    return tiny.write_run(run, tiny.recipe(model, data, run, method={"kind": kind}, zero=zero, train=train))


def _read(run: Path, plan: Plan) -> Trained:
    files = RunDir(run)
    return Trained(
        plan=plan,
        losses=tiny.metrics(run),
        measured=json.loads(files.measured.read_text()),
        success=json.loads(files.success.read_text()),
    )


@pytest.mark.parametrize(("kind", "preset"), CASES)
def test_losses_agree_to_three_digits(trained: dict[tuple[str, str], Trained], kind: str, preset: str) -> None:
    expected = trained[kind, "z2"].losses
    assert len(expected) == STEPS
    assert expected[-1] < expected[0]
    assert trained[kind, preset].losses == pytest.approx(expected, rel=THREE_DIGITS)


@pytest.mark.parametrize(("kind", "preset"), CASES)
def test_the_engine_is_the_planned_one(trained: dict[tuple[str, str], Trained], kind: str, preset: str) -> None:
    case = trained[kind, preset]
    zero = case.plan.job.zero
    found = case.measured["engine"]
    assert found["engine"] == "DeepSpeedEngine"
    assert (found["stage"], found["offload_optimizer"], found["offload_param"]) == (
        int(preset[1]),
        zero.offload_optimizer,
        zero.offload_param,
    )
    assert case.success["final"]["parameters"] > 0


@pytest.mark.parametrize(("kind", "preset"), [case for case in CASES if case[1].startswith("z3")])
def test_zero_3_holds_half_of_the_parameters_on_each_rank(
    trained: dict[tuple[str, str], Trained], kind: str, preset: str
) -> None:
    shards = trained[kind, preset].shards
    assert len(shards) == RANKS
    for shard in shards:
        assert shard["whole_parameter_bytes"] > 0
        assert shard["parameter_bytes"] * RANKS == shard["whole_parameter_bytes"]
        assert shard["packed_bytes"] * RANKS == shard["whole_packed_bytes"]
        assert (shard["whole_packed_bytes"] > 0) == (kind == "qlora")


@pytest.mark.parametrize(("kind", "preset"), [case for case in CASES if not case[1].startswith("z3")])
def test_below_stage_3_every_rank_holds_all_parameters(
    trained: dict[tuple[str, str], Trained], kind: str, preset: str
) -> None:
    for shard in trained[kind, preset].shards:
        assert shard["parameter_bytes"] == shard["whole_parameter_bytes"] > 0


@pytest.mark.parametrize(("kind", "preset"), CASES)
def test_from_stage_1_on_each_rank_steps_half_of_the_optimizer(
    trained: dict[tuple[str, str], Trained], kind: str, preset: str
) -> None:
    case = trained[kind, preset]
    share = 1 if preset == "z0" else RANKS
    for shard in case.shards:
        # Flat partitions are padded to a multiple of the ranks.
        assert shard["optimizer_elements"] * share == pytest.approx(case.plan.num_trainable_parameters, abs=64)


def test_a_4_bit_base_starts_from_another_loss_than_a_16_bit_one(trained: dict[tuple[str, str], Trained]) -> None:
    assert trained["qlora", "z3_qlora"].losses[0] != pytest.approx(trained["lora", "z3"].losses[0], rel=1e-5)
    assert trained["lora", "z3"].losses[0] == pytest.approx(trained["full", "z3"].losses[0], rel=1e-5)


def test_swap_files_are_removed_at_the_end(trained: dict[tuple[str, str], Trained]) -> None:
    swap = trained["full", "z3_offload_nvme"].plan.job.zero.nvme_path
    assert swap is not None
    assert list(Path(swap).iterdir()) == []
