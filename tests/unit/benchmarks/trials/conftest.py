"""For tests of `benchmarks/trials`: a case, and a trial of it as a real run leaves it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from trials.case import Case, machine_for, plan_of
from trials.rows import Origin
from trials.running import Trial

from tests.measured import a_measurement, a_rank
from tests.plans import CPU_BOX, DUAL_4090
from tunekit.hardware.spec import Hardware
from tunekit.units import GIB, MIB

CASE = Case(model="HuggingFaceTB/SmolLM2-135M", layers=2, method="lora", length=128)


@pytest.fixture
def trial() -> Callable[..., Trial]:
    """A trial of a case on one card, or on a CPU; keywords change it."""

    def make(hardware: Hardware = DUAL_4090, case: Case = CASE, **changes: Any) -> Trial:
        on_card = {"context": 300 * MIB, "allocated": 2 * GIB, "reserved": 3 * GIB} if hardware.gpus else {}
        ended = {
            "outcome": "ok",
            "seconds": 12.5,
            "measured": a_measurement(*(a_rank(rank=rank, **on_card) for rank in range(case.processes))),
            "sampled": {"step": 4 * GIB} if hardware.gpus else {},
            **changes,
        }
        return Trial(case=case, plan=plan_of(case, machine_for(case, hardware)), **ended)

    return make


@pytest.fixture
def origin() -> Origin:
    """A day, a machine, a revision."""
    return Origin(
        prefix="TKX", script="benchmarks/x.py", revision="abc", date="2026-11-22", hardware=CPU_BOX,
        versions={"torch": "2.13.0"},
    )  # fmt: skip
