"""For tests of the worker: the tiny model, plans of it, and a world of one rank."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.integration import tiny
from tunekit.planner.plan import Plan

PlanTiny = Callable[..., Plan]


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a real, tiny Llama and its tokenizer."""
    return tiny.write_model(tmp_path_factory.mktemp("tiny") / "model")


@pytest.fixture(scope="session")
def tiny_data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """64 alpaca rows."""
    return tiny.write_data(tmp_path_factory.mktemp("tiny_data") / "data.jsonl")


@pytest.fixture
def plan_tiny(tiny_model: Path, tiny_data: Path, tmp_path: Path) -> PlanTiny:
    """Plans the tiny model for one process and writes the run to tmp_path; keywords change sections of the recipe."""

    def plan(*, processes: int = 1, **changes: Any) -> Plan:
        return tiny.write_run(tmp_path, tiny.recipe(tiny_model, tiny_data, tmp_path, **changes), processes=processes)

    return plan


@pytest.fixture
def lonely_world() -> Iterator[Any]:
    """A process group of this process alone."""
    import torch
    import torch.distributed as dist

    from tunekit.worker.world import World

    dist.init_process_group("gloo", store=dist.HashStore(), rank=0, world_size=1)
    yield World(rank=0, local_rank=0, size=1, device=torch.device("cpu"))
    dist.destroy_process_group()
