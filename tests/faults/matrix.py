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
IN_SUITE: tuple[Fault, ...] = tuple(fault for fault in FAULTS if fault.suite)


def find(name: str) -> Fault:
    """A fault by its whole name."""
    return next(fault for fault in FAULTS if fault.name == name)
