"""All-gather and all-reduce as one of the ranks: NCCL with a card each, gloo on the processor."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable
from typing import Any

from tunekit.hardware.probing import Options, Result
from tunekit.units import MIB

CARD_BYTES, CPU_BYTES = 256 * MIB, 64 * MIB
"""Of the whole gathered or reduced tensor: a few layers of a 7B model."""
RANK, STORE = "TUNEKIT_PROBE_RANK", "TUNEKIT_PROBE_STORE"
"""Environment: which rank this is, and the file through which ranks find each other."""
MOST_CALLS = 200


def measure(options: Options) -> Result:
    """`all_gather_rate` and `all_reduce_rate` of `options.ranks` ranks, this one among them; all get the same."""
    import torch
    import torch.distributed as dist

    rank, ranks = int(os.environ[RANK]), options.ranks
    on_card = torch.cuda.is_available()
    device = torch.device("cuda", rank) if on_card else torch.device("cpu")
    if on_card:
        torch.cuda.set_device(device)
    backend = "nccl" if on_card else "gloo"
    # torch 2.13 calls it by another name, which 2.6 does not have.
    warnings.filterwarnings("ignore", category=FutureWarning)
    dist.init_process_group(backend, init_method=f"file://{os.environ[STORE]}", rank=rank, world_size=ranks)
    count = (CARD_BYTES if on_card else CPU_BYTES) // 2 // ranks * ranks
    whole = torch.zeros(count, dtype=torch.bfloat16, device=device)
    own = torch.zeros(count // ranks, dtype=torch.bfloat16, device=device)
    gather = _seconds(lambda: dist.all_gather_into_tensor(whole, own), options.seconds / 2, device)
    reduce = _seconds(lambda: dist.all_reduce(whole), options.seconds / 2, device)
    dist.destroy_process_group()
    received = 2 * count * (ranks - 1) / ranks
    note = f"{backend}, {ranks} ranks, {2 * count // MIB} MiB"
    return {"all_gather_rate": received / gather, "all_reduce_rate": 2 * received / reduce, "note": note}


def _seconds(work: Callable[[], object], seconds: float, device: Any) -> float:
    """Of one call. Ranks must call equally often: how often is agreed from the slowest of a first few."""
    import torch
    import torch.distributed as dist

    from tunekit.worker.probing.timing import seconds_per_call

    first = torch.tensor([seconds_per_call(work, seconds=0)], device=device)
    dist.all_reduce(first, op=dist.ReduceOp.MAX)
    calls = max(1, min(MOST_CALLS, int(seconds / max(first.item(), 1e-6) / 2)))

    def several() -> None:
        for _ in range(calls):
            work()

    return seconds_per_call(several, seconds=0, least=1) / calls
