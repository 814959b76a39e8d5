"""The doctor's report as it is printed: two cards in trouble, and a box without cards."""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import replace

import pytest
from rich.console import Console

from tests.examining import CARD, CARDS, READINGS, healthy, with_environ, with_readings, with_trial
from tunekit.doctor.case import Case
from tunekit.doctor.examine import examine
from tunekit.doctor.readings import Holder, Surroundings
from tunekit.launcher.preflight import Fault
from tunekit.render.doctor_text import print_findings
from tunekit.units import GIB

Golden = Callable[[str, str], None]


def in_trouble() -> Case:
    """Two cards, an orphan on one, an exchange that hangs, no compiler, a stale lock."""
    orphan = Holder(pid=4711, name="python3", bytes=9 * GIB, orphan=True)
    fault = Fault(
        kind="missing",
        check="compiler",
        text="DeepSpeed's cpu_adam must be compiled once, but there is no C++ compiler; apt install g++.",
    )
    case = healthy(job={"zero": {"offload_optimizer": "cpu"}}, faults=(fault,))
    case = with_readings(
        case,
        cards=replace(CARDS, shown=(replace(CARD, holders=(orphan,)), replace(CARD, index=1, temperature=41))),
        surroundings=Surroundings(container="docker", iommu_groups=32, xids=None),
        ops=replace(READINGS.ops, built=(), stale_locks=("/home/user/.cache/tunekit/ops/here/cpu_adam/lock",)),
    )
    return with_environ(with_trial(case, "collectives", missing="not done after 60 s"), RANK="0", HOME="/home/user")


@pytest.mark.parametrize(
    ("name", "case", "about"),
    [("trouble", in_trouble(), "tiny.yaml"), ("no_gpu", healthy(cards=False, plan=False), "")],
)
def test_report(golden: Golden, name: str, case: Case, about: str) -> None:
    stream = io.StringIO()
    print_findings(Console(file=stream, width=80), examine(case), about=about, seconds="12 s")
    golden(f"doctor/{name}.txt", stream.getvalue())
