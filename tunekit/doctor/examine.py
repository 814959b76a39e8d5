"""Every check of the doctor in the order of the report, and what they come to. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from tunekit.doctor import disks, environment, gpus, host, links, model_data, ops, recipe, system
from tunekit.doctor.case import Case
from tunekit.doctor.finding import Check, Finding

CHECKS: tuple[Check, ...] = tuple(
    check
    for module in (system, gpus, links, host, disks, ops, environment, model_data, recipe)
    for check in module.CHECKS
)
BLOCKED = 4
"""Exit code where something blocks."""


def examine(case: Case) -> tuple[Finding, ...]:
    """What every check says; without a recipe those of the machine only."""
    return tuple(check.finding(check.look(case)) for check in CHECKS if case.has_recipe or not check.of_recipe)


def launch_warnings(case: Case) -> tuple[Finding, ...]:
    """What a launch says before it starts: doubts that stop nothing. Needs no trials."""
    found = (check.finding(check.look(case)) for check in CHECKS if check.at_launch)
    return tuple(finding for finding in found if finding.state == "warning")


def exit_code(findings: Sequence[Finding]) -> int:
    """4 where something blocks, else 0."""
    return BLOCKED if any(finding.blocks for finding in findings) else 0
