"""Two real processes hold, write and swap the bytes that the plan says: shards, optimizer states, files."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.integration import tiny
from tunekit.launcher.run_dir import RunDir
from tunekit.memory.case import make_case
from tunekit.memory.disk import checkpoint_bytes
from tunekit.planner.plan import Plan

pytestmark = [pytest.mark.slow, pytest.mark.train]

HIDDEN, VOCABULARY = 512, 16384
"""21 million parameters: tokenizer, headers and counters are far below one per cent of every file."""
STEPS = 2
CASES = (
    ("full", "z2"),
    ("full", "z3"),
    ("full", "z2_offload"),
    ("full", "z3_offload"),
    ("full", "z3_offload_nvme"),
    ("lora", "z2"),
    ("lora", "z3"),
    ("qlora", "z3_qlora"),
)
SAVED = tuple(case for case in CASES if "nvme" not in case[1])
ONE_PERCENT = 0.01


@dataclass(frozen=True, kw_only=True)
class Held:
    """A finished run: its plan, what it measured, and its folder."""

    plan: Plan
    measured: dict[str, Any]
    run: RunDir

    def over_ranks(self, name: str) -> int:
        """What all ranks together hold."""
        return sum(rank["shards"][name] for rank in self.measured["ranks"])

    def planned(self, *names: str) -> int:
        """What the plan says of terms in RAM: without cards the host holds all, once per rank."""
        return sum(term.host_bytes for term in self.plan.memory.terms if term.name in names)

    def on_disk(self, name: str) -> int:
        """What the plan says of a term on disk."""
        return sum(term.disk_bytes for term in self.plan.memory.terms if term.name == name)


@pytest.fixture(scope="module")
def held(tmp_path_factory: pytest.TempPathFactory) -> dict[tuple[str, str], Held]:
    """Every case, trained by one launch of two real ranks."""
    root = tmp_path_factory.mktemp("memory")
    model = tiny.write_model(root / "model", hidden=HIDDEN, vocabulary=VOCABULARY)
    data = tiny.write_data(root / "data.jsonl")
    (root / "nvme").mkdir()
    runs = {case: root / "-".join(case) for case in CASES}
    plans = {case: _plan(root, run, model, data, *case) for case, run in runs.items()}
    tiny.build_ops(runs["full", "z3_offload_nvme"])
    code = tiny.finish(tiny.start(list(runs.values())))
    assert code == 0, tiny.log_tail(runs["full", "z2"])
    return {case: _read(RunDir(run), plans[case]) for case, run in runs.items()}


def _plan(root: Path, run: Path, model: Path, data: Path, kind: str, preset: str) -> Plan:
    method = {"kind": kind, **({} if kind == "full" else {"rank": 256})}
    zero = {"preset": preset, **({"nvme_path": str(root / "nvme")} if "nvme" in preset else {})}
    output = {"save_steps": STEPS} if (kind, preset) in SAVED else {}
    train = {"max_steps": STEPS, "gradient_accumulation_steps": 1}
    wanted = tiny.recipe(model, data, run, method=method, zero=zero, train=train, output=output)
    return tiny.write_run(run, wanted)


def _read(run: RunDir, plan: Plan) -> Held:
    return Held(plan=plan, measured=json.loads(run.measured.read_text()), run=run)


def bytes_in(folder: Path) -> int:
    """All files below a folder."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


@pytest.mark.parametrize("case", CASES)
def test_ranks_hold_the_weights_that_were_planned(held: dict[tuple[str, str], Held], case: tuple[str, str]) -> None:
    found = held[case]
    weights = ("weights", "adapter weights", "frozen base", "16-bit part of the base", "4-bit base")
    if "offload" not in case[1]:
        assert found.over_ranks("parameter_bytes") == pytest.approx(found.planned(*weights), rel=ONE_PERCENT)


@pytest.mark.parametrize("case", CASES)
def test_ranks_hold_the_optimizer_states_that_were_planned(
    held: dict[tuple[str, str], Held], case: tuple[str, str]
) -> None:
    found = held[case]
    states = found.planned("optimizer states", "optimizer states in RAM")
    assert found.over_ranks("optimizer_state_bytes") == pytest.approx(states, rel=ONE_PERCENT)
    assert (states > 0) == ("nvme" not in case[1])


def test_swap_files_are_as_large_as_planned(held: dict[tuple[str, str], Held]) -> None:
    found = held["full", "z3_offload_nvme"]
    planned = found.on_disk("swap files of NVMe offload")
    # DeepSpeed leaves tensors of less than 1 MiB in RAM: the layers of this model, 4 % of the bytes.
    assert 0.95 * planned < found.measured["swap_bytes"] < planned
    assert held["full", "z3"].measured["swap_bytes"] == 0


@pytest.mark.parametrize("case", SAVED)
def test_a_checkpoint_is_as_large_as_planned(held: dict[tuple[str, str], Held], case: tuple[str, str]) -> None:
    found = held[case]
    (checkpoint,) = found.run.checkpoints.glob("checkpoint-*")
    planned = checkpoint_bytes(make_case(found.plan.job, found.plan.model_shape, found.plan.hardware))
    assert bytes_in(checkpoint) == pytest.approx(planned, rel=ONE_PERCENT)


@pytest.mark.parametrize("case", SAVED)
def test_the_final_model_is_as_large_as_planned(held: dict[tuple[str, str], Held], case: tuple[str, str]) -> None:
    found = held[case]
    planned = found.on_disk("final model") + found.on_disk("final adapter")
    assert bytes_in(found.run.final) == pytest.approx(planned, rel=ONE_PERCENT)
