"""Machines and cases for the tests of speed, beside the jobs of memory_jobs.py."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from memory_jobs import job, machine

from tunekit.hardware.spec import Hardware, Link
from tunekit.model_shape.catalogue import find
from tunekit.model_shape.shape import ModelShape
from tunekit.recipe.job import Job
from tunekit.speed.case import SpeedCase, make_case
from tunekit.speed.habits import WORKER, Habits
from tunekit.speed.rates import rates_of

PCIE_X8 = Link(pcie_generation=4, pcie_lanes=8, nvlink=False, p2p=False)
NVLINK = Link(pcie_generation=4, pcie_lanes=16, nvlink=True, p2p=True, nvlink_rate=300_000_000_000)


def seven() -> ModelShape:
    """Llama 2, 7B."""
    shape = find("meta-llama/Llama-2-7b-hf")
    assert shape is not None
    return shape


def box(gpus: int = 2, link: Link | None = PCIE_X8, **host: Any) -> Hardware:
    """A box of RTX 4090 with a link of its own."""
    plain = machine(gpus)
    return replace(plain, link=link, host=replace(plain.host, **host))


def case(
    method: str = "full",
    *,
    link: Link | None = PCIE_X8,
    habits: Habits = WORKER,
    shape: ModelShape | None = None,
    **job_changes: Any,
) -> SpeedCase:
    """A case of a 7B model on two cards."""
    made: Job = job(method, **job_changes)
    return make_case(made, shape or seven(), rates_of(box(made.batch.world_size, link)), habits)
