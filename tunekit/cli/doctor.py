"""`tunekit doctor`: is this machine ready, for a recipe or at all, item by item, with the cure."""

from __future__ import annotations

import json as json_text
import shlex
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING

import typer

from tunekit.backends.building import build
from tunekit.checkup import Asked, look_at, with_trials
from tunekit.cli.status_line import Report, progress
from tunekit.doctor.case import Case
from tunekit.doctor.examine import examine, exit_code
from tunekit.errors import UsageError
from tunekit.launcher.environment import worker_environment
from tunekit.planner.make import check_trust
from tunekit.render.doctor_text import findings_json, print_findings
from tunekit.source import read_source
from tunekit.units import format_seconds

if TYPE_CHECKING:
    from rich.console import Console


def show_doctor(
    recipe: str | None, overrides: Sequence[str], *, on: str | None, trust: str, build_ops: bool, json: bool
) -> None:
    """Examine, print, and exit with 4 where something blocks. UsageError: the recipe itself is wrong."""
    started, console = time.monotonic(), _console(json=json)
    check_trust(trust)
    if recipe is None and on is not None:
        raise UsageError(f"--on {on}: the doctor looks at this machine; name a recipe that is to be planned for {on}.")
    loaded = None if recipe is None else read_source(recipe, overrides, on)
    words = shlex.join((recipe or "", *overrides, *(("--on", on) if on else ())))
    asked = Asked(loaded=loaded, typed=words, on=on, trust=trust)
    with progress(console, quiet=json) as report:
        case = look_at(asked, report=report)
        if build_ops and build_missing(case, report=report):
            case = look_at(asked, report=report)
        findings = examine(with_trials(case, report=report))
    about = recipe or ""
    if json:
        typer.echo(json_text.dumps(findings_json(findings, about=about), indent=2))
    else:
        print_findings(console, findings, about=about, seconds=format_seconds(time.monotonic() - started))
    if code := exit_code(findings):
        raise typer.Exit(code)


def build_missing(case: Case, *, report: Report) -> bool:
    """Build every op that the case needs; whether any was. MissingError: one cannot be, with the compiler's error."""
    ops = case.ops_to_build
    if not ops:
        return False
    env = {} if case.plan is None else worker_environment(case.plan, case.caller, run_dir="")
    build(ops, case.caller, env, report=report)
    return True


def _console(*, json: bool) -> Console:
    from rich.console import Console

    return Console(highlight=False, stderr=json)
