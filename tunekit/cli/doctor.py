"""`tunekit doctor`: is this machine ready, for a recipe or at all, item by item, with the cure."""

from __future__ import annotations

import json as json_text
import time
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import typer

from tunekit.backends.building import build
from tunekit.checkup import Asked, look_at, read_machine, with_trials
from tunekit.cli.status_line import Report, progress
from tunekit.doctor.case import Case
from tunekit.doctor.examine import examine, exit_code
from tunekit.launcher.environment import worker_environment
from tunekit.notebook import read_source
from tunekit.render.doctor_text import findings_json, print_findings
from tunekit.units import format_seconds

if TYPE_CHECKING:
    from rich.console import Console


def show_doctor(
    recipe: str | None, overrides: Sequence[str], *, on: str | None, trust: str, build_ops: bool, json: bool
) -> None:
    """Examine, print, and exit with 4 where something blocks. UsageError: the recipe itself is wrong."""
    started, console = time.monotonic(), _console(json=json)
    loaded = None if recipe is None else read_source(recipe, overrides)
    asked = Asked(loaded=loaded, on=on, trust=trust)
    with progress(console, quiet=json) as report:
        case = look_at(asked, report=report)
        if build_ops:
            case = with_ops(case, report=report)
        findings = examine(with_trials(case, report=report))
    about = recipe or ""
    if json:
        typer.echo(json_text.dumps(findings_json(findings, about=about), indent=2))
    else:
        print_findings(console, findings, about=about, seconds=format_seconds(time.monotonic() - started))
    if code := exit_code(findings):
        raise typer.Exit(code)


def with_ops(case: Case, *, report: Report) -> Case:
    """The case after every op that it needs was built. MissingError: one cannot be, with the compiler's error."""
    ops = case.ops_to_build
    if not ops:
        return case
    env = {} if case.plan is None else worker_environment(case.plan, case.caller, run_dir="")
    build(ops, case.caller, env, report=report)
    return replace(case, readings=read_machine(case.plan, case.caller, ask_hub=False))


def _console(*, json: bool) -> Console:
    from rich.console import Console

    return Console(highlight=False, stderr=json)
