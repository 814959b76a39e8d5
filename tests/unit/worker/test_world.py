from __future__ import annotations

from typing import Any

import pytest
import torch

from tests.plans import CPU_BOX, DUAL_4090, make_plan
from tunekit.errors import UsageError
from tunekit.worker import world as module
from tunekit.worker.world import first_rank_first, gather_numbers, gather_objects, join_world

pytestmark = pytest.mark.train


def test_another_number_of_ranks_than_planned_is_refused(lonely_world: Any) -> None:
    with pytest.raises(UsageError, match="1 ranks were started, the plan has 2"):
        join_world(make_plan(CPU_BOX))


def test_a_plan_for_gpus_needs_gpus(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(UsageError, match="trains on GPUs"):
        join_world(make_plan(DUAL_4090))


@pytest.mark.parametrize("rank", [0, 1])
def test_shared_memory_is_freed_once_all_have_mapped_it(monkeypatch: pytest.MonkeyPatch, rank: int) -> None:
    seen: list[Any] = []
    monkeypatch.setenv("MASTER_PORT", "29517")
    monkeypatch.setattr(module.dist, "barrier", lambda: seen.append("barrier"))
    monkeypatch.setattr(module.dist, "get_rank", lambda: rank)
    monkeypatch.setattr(module, "remove_shared_memory", seen.append)
    module.free_with_the_last_rank()
    assert seen == ["barrier", 29517][: 2 - rank]


def test_one_rank_gathers_its_own(lonely_world: Any) -> None:
    assert gather_objects({"rank": 0}, lonely_world) == [{"rank": 0}]
    assert gather_numbers([1.0, 2.5], lonely_world) == [[1.0, 2.5]]


@pytest.mark.parametrize(("rank", "order"), [(0, ["block", "barrier"]), (1, ["barrier", "block"])])
def test_the_first_rank_goes_first(monkeypatch: pytest.MonkeyPatch, rank: int, order: list[str]) -> None:
    seen: list[str] = []
    monkeypatch.setattr(module.dist, "barrier", lambda: seen.append("barrier"))
    with first_rank_first(module.World(rank=rank, local_rank=rank, size=2, device=torch.device("cpu"))):
        seen.append("block")
    assert seen == order


def test_the_others_are_let_go_when_the_first_rank_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[str] = []
    monkeypatch.setattr(module.dist, "barrier", lambda: seen.append("barrier"))
    world = module.World(rank=0, local_rank=0, size=2, device=torch.device("cpu"))
    with pytest.raises(ValueError, match="bad rows"), first_rank_first(world):
        raise ValueError("bad rows")
    assert seen == ["barrier"]
