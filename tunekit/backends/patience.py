"""How long ranks that were asked to end may take: a micro-batch, and a save for as long as it gets on."""

from __future__ import annotations

import time
from collections.abc import Callable

from tunekit.launcher.checkpoints import SEAL, bytes_below
from tunekit.launcher.json_lines import read_lines, read_record
from tunekit.launcher.run_dir import RunDir

POLL_SECONDS = 0.1
MICRO_BATCHES = 3.0
"""They agree to end between two micro-batches: the one that is computed, and as much again for a slower one."""
STALL_SECONDS = 120.0
"""A save that writes nothing for so long does not get on; the drive may be writing what it held back till then."""


def wait_for_end(run_dir: RunDir, ended: Callable[[], bool], *, grace: float) -> bool:
    """Wait until `ended`, for `grace` seconds or some micro-batches, on while a checkpoint grows; whether it did."""
    began = now = time.monotonic()
    limit = began + max(grace, MICRO_BATCHES * micro_batch_seconds(run_dir))
    written = being_saved(run_dir)  # an attempt that was killed may have left a torn one, which does not grow
    while not ended():
        growing = being_saved(run_dir)
        if growing > written:
            limit = max(limit, now + STALL_SECONDS)
        if now > limit:
            return False
        written = growing
        time.sleep(POLL_SECONDS)
        now = time.monotonic()
    return True


def micro_batch_seconds(run_dir: RunDir) -> float:
    """What one forward and backward took on average; 0 before the first step was logged."""
    steps = [record for record in read_lines(run_dir.metrics) if record.get("seconds") and "loss" in record]
    match read_record(run_dir.plan):
        case {
            "job": {"batch": {"gradient_accumulation_steps": int(count)}},
            "recipe": {"train": {"logging_steps": int(every)}},
        } if steps and count and every:
            return float(steps[-1]["seconds"]) / (count * every)
    return 0.0


def being_saved(run_dir: RunDir) -> int:
    """Bytes in the checkpoints that are not sealed yet."""
    unsealed = (path for path in run_dir.checkpoints.glob("checkpoint-*") if not (path / SEAL).exists())
    return sum(map(bytes_below, unsealed))
