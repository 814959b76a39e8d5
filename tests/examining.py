"""Machines in good health for the doctor's tests: two RTX 4090, and a box without cards."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from tests.plans import CPU_BOX, DUAL_4090, RTX_4090, make_caller, make_plan
from tunekit.doctor.case import Case
from tunekit.doctor.readings import (
    Card,
    Cards,
    HostMemory,
    ModelFiles,
    OpCache,
    Place,
    Readings,
    Surroundings,
)
from tunekit.hardware.probing import Outcome
from tunekit.hardware.spec import Power
from tunekit.launcher.toolchain import Toolchain
from tunekit.units import GIB, MIB

WHOLE = {
    "torch": "2.13.0",
    "transformers": "5.23.0",
    "trl": "1.16.0",
    "peft": "0.21.2",
    "deepspeed": "0.19.8",
    "bitsandbytes": "0.50.2",
}
CALLER = make_caller(versions=WHOLE, memlock_unlimited=True, has_numactl=True)
CARD = Card(
    index=0,
    name=RTX_4090.name,
    total_bytes=24 * GIB,
    free_bytes=23 * GIB,
    compute_capability=8.9,
    power_watts=450,
    temperature=35,
    lanes=8,
    generation=4,
)
CARDS = Cards(
    shown=(CARD, replace(CARD, index=1)), uuids=("GPU-a", "GPU-b"), driver="580.65.06", peers=False, on_the_bus=2
)
READINGS = Readings(
    cards=CARDS,
    surroundings=Surroundings(xids=()),
    memory=HostMemory(total=96 * GIB, available=90 * GIB, shm_total=48 * GIB, shm_free=48 * GIB),
    places=(
        Place(what="output", path="/data/runs/tiny", free_bytes=900 * GIB, file_system="ext4", free_inodes=10**8),
        Place(what="hub cache", path="/home/user/.cache/hub", free_bytes=900 * GIB, file_system="ext4"),
        Place(what="temporary files", path="/tmp", free_bytes=40 * GIB, file_system="tmpfs", free_inodes=10**6),
    ),
    toolchain=Toolchain(compiler="/usr/bin/c++", standard="c++20", ninja="/usr/bin/ninja", cuda_home="/usr/local/cuda"),
    ops=OpCache(
        folder="/home/user/.cache/tunekit/ops/here",
        file_system="ext4",
        built=("deepspeed_shm_comm", "cpu_adam", "async_io", "pin_memory"),
    ),
    torch_cuda="12.8",
    nvcc="12.8",
    model=ModelFiles(folder="/home/user/models/tiny", weight_bytes=257 * MIB),
)
BOX = replace(DUAL_4090, power=Power(host_watts=250, load_watts=900, supply_watts=1600))
ROWS: dict[str, Any] = {
    "tokenizer": {"tokens": 256, "pad": "<pad>", "eos": "</s>", "template": True, "remarks": []},
    "statistics": {
        "rows": 128,
        "empty_rows": 0,
        "tokens": 10_000,
        "supervised_tokens": 5_000,
        "longest": 200,
        "max_seq_length": 256,
        "rows_without_end": 0,
        "truncated_rows": 0,
        "length_for_99_percent": 200,
    },
    "format": "messages",
    "num_rows": 100,
    "cut_short": False,
    "warnings": [],
}
TRIALS = {
    "cuda": {"count": 2, "cuda": "12.8"},
    "copies": {"to_gpu_rate": 12.7e9, "from_gpu_rate": 13.1e9, "links": [[4, 8], [4, 8]]},
    "collectives": {"all_reduce_rate": 5e9, "all_gather_rate": 4e9},
    "ops": {"loaded": ["cpu_adam"]},
    "four_bit": {"where": "2 cards", "error": 0.07},
    "flash_attention": {"version": "2.8"},
    "drive": {"read_rate": 6e9, "write_rate": 3e9},
    "pinned": {"bytes": 4 * GIB, "seconds": 1.5},
    "rows": ROWS,
}


def outcome(found: dict[str, Any] | None = None, *, missing: str = "") -> Outcome:
    """What one trial found, or why it found nothing."""
    return Outcome(title="a trial", found=found or {}, missing=missing)


def healthy(*, cards: bool = True, plan: bool = True, job: dict[str, Any] | None = None, **changes: Any) -> Case:
    """A case in which every check is content; `job` changes the plan's job, other keywords the case."""
    hardware = BOX if cards else CPU_BOX
    case = Case(
        readings=READINGS if cards else replace(READINGS, cards=Cards(missing="no NVIDIA driver"), torch_cuda=None),
        hardware=hardware,
        caller=CALLER,
        plan=make_plan(hardware, device_bytes=20 * GIB if cards else 0, **(job or {})) if plan else None,
        trials={name: outcome(found) for name, found in TRIALS.items()},
    )
    return replace(case, **changes)


def with_readings(case: Case, **changes: Any) -> Case:
    """The case with other readings."""
    return replace(case, readings=replace(case.readings, **changes))


def with_trial(case: Case, name: str, found: dict[str, Any] | None = None, *, missing: str = "") -> Case:
    """The case with another outcome of one trial."""
    return replace(case, trials={**case.trials, name: outcome(found, missing=missing)})


def with_environ(case: Case, **variables: str) -> Case:
    """The case with variables in the environment."""
    return replace(case, caller=replace(case.caller, environ={**case.caller.environ, **variables}))


def without_trials(case: Case) -> Case:
    """The case before anything was tried."""
    return replace(case, trials={})
