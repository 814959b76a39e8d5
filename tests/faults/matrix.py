"""Every fault, group by group."""

from __future__ import annotations

from tests.faults import checkpoints, inputs, machine, saves, signals
from tests.faults.fault import Fault

FAULTS: tuple[Fault, ...] = (
    *signals.FAULTS,
    *saves.FAULTS,
    *checkpoints.FAULTS,
    *machine.FAULTS,
    *inputs.FAULTS,
)
IN_SUITE = (
    "SIGKILL to rank 1 in a step",
    "SIGKILL to all before an old checkpoint goes",
    "no compiler for an op",
    "the named port in use",
)
"""Names of those that the normal suite plays too."""
TYPED = (
    "SIGKILL to rank 0 in a step",
    "SIGKILL to launch.py in a step",
    "SIGKILL to deepspeed in a step",
    "SIGKILL to tunekit and the whole run in a step",
    "SIGTERM to rank 1 in a step",
    "SIGINT to tunekit in a step",
    "SIGSTOP to rank 0 in a step, then `tunekit stop`",
    "SIGKILL to rank 0 while evaluating",
    "SIGKILL to all before the seal of a checkpoint",
    "SIGKILL to all before the success marker",
    "the memory group's limit is reached while loading",
    "SIGKILL to tunekit while an op is prepared",
    "the run folder moved while it runs",
)
"""Names of those whose runs go on by the user's command even where others go on together."""


def find(name: str) -> Fault:
    """A fault by its whole name."""
    return next(fault for fault in FAULTS if fault.name == name)
