"""What `deepspeed` starts in tests: the worker, for several plans one after the other in the same ranks."""

from __future__ import annotations

import os
import sys

import bitsandbytes  # noqa: F401  (a plan without it would leave it out for the plans after it)

from tunekit.worker.main import main


def run_all(arguments: list[str]) -> int:
    """Train each `PLAN`, `PLAN=CHECKPOINT` or `PLAN=CHECKPOINT=weights`; the first exit code that is not 0 ends it."""
    return next((code for code in map(run_one, arguments) if code != 0), 0)


def run_one(argument: str) -> int:
    """Train one plan, from the checkpoint where one is named, or from its weights alone."""
    plan, _, origin = argument.partition("=")
    checkpoint, _, how = origin.partition("=")
    options = ["--weights-only"] if how == "weights" else []
    return main(["--plan", plan, *(["--resume-from", checkpoint] if checkpoint else []), *options])


if __name__ == "__main__":
    code = run_all(sys.argv[1:])
    sys.stdout.flush()
    os._exit(code)
