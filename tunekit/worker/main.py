"""The training process before any heavy import: read the plan, set threads, then train; keep the first failure."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tunekit.launcher.run_dir import RunDir
from tunekit.planner.plan import Plan
from tunekit.planner.plan_json import plan_from_json
from tunekit.worker.journal import Journal
from tunekit.worker.signs import Signs


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """The command line of one rank."""

    plan: Path
    resume_from: Path | None = None
    weights_only: bool = False
    no_rehearsal: bool = False
    transfer: str | None = None


def main(argv: Sequence[str]) -> int:
    """Train as the plan says; 0 finished and verified, 1 failed (see failure.json), 130 stopped on request."""
    options = read_options(argv)
    run_dir = RunDir(options.plan.resolve().parent)
    rank = int(os.environ.get("RANK", "0"))
    journal = Journal(run_dir, rank=rank, signs=Signs(run_dir.rank_stacks(rank)))
    try:
        return train_as_planned(options, run_dir, journal)
    except BaseException as error:
        journal.failure(error)
        return 1


def train_as_planned(options: Options, run_dir: RunDir, journal: Journal) -> int:
    """Everything that may fail, so that its failure is kept with the phase it happened in."""
    journal.enter("start")
    plan = plan_from_json(options.plan.read_text())
    journal.derived("threads", limit_threads(plan))
    leave_out_bitsandbytes(plan)

    from tunekit.worker.run import Origin, run  # seconds of torch, transformers and trl

    origin = Origin(
        checkpoint=options.resume_from, weights_only=options.weights_only, rehearses=not options.no_rehearsal
    )
    return run(plan, run_dir, journal, origin)


def read_options(argv: Sequence[str]) -> Options:
    """The command line; argparse ends the process with code 2 when it is wrong."""
    parser = argparse.ArgumentParser(prog="python -m tunekit.worker")
    parser.add_argument("--plan", type=Path, required=True, help="plan.json in the run directory")
    parser.add_argument("--resume-from", type=Path, default=None, help="a checkpoint folder of the same plan")
    parser.add_argument("--weights-only", action="store_true", help="take no optimizer states from it")
    parser.add_argument("--no-rehearsal", action="store_true", help="the same plan was rehearsed before")
    parser.add_argument("--transfer", default=None, help="prepare only: how to make the checkpoint fit the plan")
    return Options(**vars(parser.parse_args(argv)))


def limit_threads(plan: Plan) -> int:
    """Threads of this rank, set for every library that reads OMP_NUM_THREADS when it is first imported.

    Unset, each rank takes all cores: measured on two cores, two ranks of two threads take 1.9 times as long per step.
    """
    threads = int(os.environ.get("OMP_NUM_THREADS", "0")) or max(1, _cores() // plan.job.batch.world_size)
    for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ[name] = str(threads)
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    return threads


def leave_out_bitsandbytes(plan: Plan) -> None:
    """Let PEFT find no bitsandbytes where nothing is quantised: it would import it whenever it is installed.

    That import brings torch's compiler with it: 2.2 of the 6.4 s that all imports take on two cores (measured).
    """
    needed = plan.job.quantization is not None or plan.job.optimizer.endswith("8bit")
    if not needed and "bitsandbytes" not in sys.modules:
        sys.modules["bitsandbytes"] = None  # type: ignore[assignment]  # how Python spells "cannot be imported"


def _cores() -> int:
    return len(os.sched_getaffinity(0))
