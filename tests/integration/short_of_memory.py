"""What `deepspeed` starts in the test of running out of memory: the worker, on a host too small for wide passes.

Until a pass has few rows, rank 1 is refused memory in its fifth step, in the words of torch's CPU allocator. The run
that nobody disturbs, whose folder is the first argument, is trained before by the same ranks, as imports take long.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any
from unittest.mock import patch

import bitsandbytes  # noqa: F401  (a plan without it would leave it out for the plans after it)

from tunekit.launcher.run_dir import RunDir
from tunekit.worker.main import main
from tunekit.worker.trainer import WorkerTrainer

ROWS_THAT_FIT = 2
FAILS_AFTER = 4


class Short(WorkerTrainer):
    """Where the only seam is: the step of the real trainer."""

    def training_step(self, *args: Any, **kwargs: Any) -> Any:
        """As it is, but for the allocator's refusal."""
        wide = self.plan.job.batch.micro_batch_size > ROWS_THAT_FIT
        if wide and self.world.rank == 1 and self.state.global_step >= FAILS_AFTER:
            raise RuntimeError(
                "[enforce fail at alloc_cpu.cpp:117] err == 0. DefaultCPUAllocator: can't allocate memory: "
                "you tried to allocate 536870912 bytes. Error code 12 (Cannot allocate memory)"
            )
        return super().training_step(*args, **kwargs)


def run_both(straight: Path, arguments: list[str]) -> int:
    """The undisturbed run, where it is not there yet, then the plan of the command line on a small host."""
    if not RunDir(straight).success.exists():
        code = main(["--plan", str(RunDir(straight).plan)])
        if code:
            return code
    with patch("tunekit.worker.run.WorkerTrainer", Short):
        return main(arguments)


if __name__ == "__main__":
    code = run_both(Path(sys.argv[1]), sys.argv[2:])
    sys.stdout.flush()
    os._exit(code)
