"""The group of ranks: who we are, and doing things one after the other or together."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
import torch.distributed as dist

from tunekit.errors import UsageError
from tunekit.launcher.shared_memory import remove_shared_memory
from tunekit.planner.plan import Plan


@dataclass(frozen=True, slots=True, kw_only=True)
class World:
    """This rank among `size` ranks; `device` is where it computes."""

    rank: int
    local_rank: int
    size: int
    device: torch.device

    @property
    def is_first(self) -> bool:
        """Whether this rank writes what is written once."""
        return self.rank == 0


def join_world(plan: Plan) -> World:
    """Join the process group through DeepSpeed; it must exist before the model is built.

    `from_pretrained` under ZeRO-3 builds `zero.Init`, which takes a missing group for a world of one rank and fails
    at its batch check. UsageError: another number of ranks than the plan has, or no GPU where the plan has one.
    """
    import deepspeed

    local_rank = int(os.environ.get("LOCAL_RANK", "0"))
    device = torch.device("cpu")
    if plan.job.accelerator == "cuda":
        device = _take_gpu(local_rank)
    if not dist.is_initialized():
        deepspeed.init_distributed(verbose=False)
        if device.type == "cpu":
            free_with_the_last_rank()
    world = World(rank=dist.get_rank(), local_rank=local_rank, size=dist.get_world_size(), device=device)
    if world.size != plan.job.batch.world_size:
        raise UsageError(f"{world.size} ranks were started, the plan has {plan.job.batch.world_size}; plan again.")
    return world


def free_with_the_last_rank() -> None:
    """Once all ranks have mapped DeepSpeed's shared memory its names go: it ends with them, however they die."""
    dist.barrier()
    if dist.get_rank() == 0:
        remove_shared_memory(int(os.environ["MASTER_PORT"]))


def _take_gpu(local_rank: int) -> torch.device:
    if not torch.cuda.is_available():
        raise UsageError(f"the plan trains on GPUs, torch {torch.__version__} sees none; run `tunekit doctor`.")
    torch.cuda.set_device(local_rank)
    return torch.device("cuda", local_rank)


@contextmanager
def first_rank_first(world: World) -> Iterator[None]:
    """Rank 0 goes through the block first, and leaves behind what the others then only read."""
    if not world.is_first:
        dist.barrier()
    try:
        yield
    finally:
        if world.is_first:
            dist.barrier()


def gather_objects(value: Any, world: World) -> list[Any]:
    """The value of every rank, in order of rank; on every rank."""
    if world.size == 1:
        return [value]
    found: list[Any] = [None] * world.size
    dist.all_gather_object(found, value)
    return found


def gather_numbers(values: list[float], world: World) -> list[list[float]]:
    """One row of numbers per rank, in one small collective."""
    mine = torch.tensor(values, dtype=torch.float64, device=world.device)
    if world.size == 1:
        return [mine.tolist()]
    rows = [torch.empty_like(mine) for _ in range(world.size)]
    dist.all_gather(rows, mine)
    return torch.stack(rows).tolist()
