from __future__ import annotations

from dataclasses import replace

import pytest
from trials.case import STEPS, Case, boundary, machine_for, plan_of
from trials.grids import GRIDS, LLAMA_8B, SMOLLM, grid

from tests.planning import machine
from tests.plans import CPU_BOX, DUAL_4090
from tunekit.hardware.calibration import Calibration
from tunekit.planner.verdict import judge
from tunekit.units import GIB

CASE = Case(model=SMOLLM, layers=2, method="lora", length=128)
CARD = machine("a100_80gb")


def test_a_case_is_planned_as_it_is_written() -> None:
    case = replace(CASE, micro=2, accumulate=3, checkpointing=False, attention="eager", optimizer="lion", rank=4)
    plan = plan_of(case, machine_for(case, DUAL_4090))
    job = plan.job
    assert (plan.model_shape.num_layers, job.method, job.max_seq_length, job.adapter and job.adapter.rank) == (
        2, "lora", 128, 4,
    )  # fmt: skip
    assert (job.batch.micro_batch_size, job.batch.gradient_accumulation_steps, job.batch.world_size) == (2, 3, 1)
    assert (job.attention, job.optimizer, job.activation_checkpointing) == ("eager", "lion", False)
    assert plan.recipe.train.max_steps == STEPS


def test_real_widths_and_few_layers() -> None:
    shape = replace(CASE, model=LLAMA_8B).shape
    assert (shape.hidden_size, shape.vocab_size, shape.num_layers) == (4096, 128256, 2)
    with pytest.raises(KeyError, match="is not in the catalogue; near: .*meta-llama/Llama-3.1-8B"):
        _ = replace(CASE, model="Llama-3.1-8").shape


def test_the_machine_has_as_many_cards_or_processes_as_the_case() -> None:
    two = replace(CASE, processes=2)
    known = replace(DUAL_4090, calibration=Calibration(machine=DUAL_4090.parts, date="x", runs=(), context_bytes=GIB))
    assert [machine_for(case, known).world_size for case in (CASE, two)] == [1, 2]
    assert machine_for(CASE, known).calibration is None
    assert [machine_for(case, CPU_BOX).world_size for case in (CASE, two)] == [1, 2]


def test_a_played_card_is_smaller_than_the_real_one_and_never_larger() -> None:
    limited = replace(CASE, limit_gb=24)
    assert machine_for(limited, CARD).gpus[0].usable_bytes == round(23.5 * GIB)
    small = replace(CARD, gpus=(replace(CARD.gpus[0], usable_bytes=8 * GIB),))
    assert machine_for(limited, small).gpus[0].usable_bytes == 8 * GIB


def test_the_boundary_lies_between_its_two_cases() -> None:
    case = Case(model=LLAMA_8B, layers=4, method="lora", length=1024, limit_gb=24)
    fits, rejected = boundary(case, CARD)

    def verdict(micro: int) -> str:
        found = replace(case, micro=micro)
        plan = plan_of(found, machine_for(found, CARD))
        return judge(plan.memory, plan.table, "model").verdict

    assert [verdict(fits.micro), verdict(fits.micro + 1) != "fits"] == ["fits", True]
    assert [verdict(rejected.micro - 1) != "rejected", verdict(rejected.micro)] == [True, "rejected"]
    assert boundary(replace(case, layers=60), CARD)[0].micro == 1


@pytest.mark.parametrize("name", GRIDS)
def test_every_case_of_every_grid_has_a_name_and_a_plan(name: str) -> None:
    here = CPU_BOX if name in ("cpu", "tiny") else CARD
    cases = grid(name, here)
    assert len({case.name for case in cases}) == len(cases) >= {"tiny": 4, "gpu": 80, "edge": 30, "cpu": 15}[name]
    for case in cases if name != "edge" else ():
        assert plan_of(case, machine_for(case, here)).job.batch.world_size == case.processes
    assert not any(" " in case.name or (name == "edge") != (case.limit_gb == 24) for case in cases)


def test_the_grid_of_cards_varies_what_it_says() -> None:
    cases = grid("gpu", DUAL_4090)
    for values in (
        {"full", "lora", "qlora"} == {case.method for case in cases},
        {"sdpa", "eager"} <= {case.attention for case in cases},
        {"adamw", "adamw_8bit", "paged_adamw_8bit", "adafactor", "lion", "sgd"} == {case.optimizer for case in cases},
        {True, False} == {case.checkpointing for case in cases},
        {512, 8192} <= {case.length for case in cases},
        {1, 2} == {case.processes for case in cases},
    ):
        assert values
