"""`tunekit launch` and `resume`: plan, check, run, watch, report; or, with `--dry-run`, show and start nothing."""

from __future__ import annotations

import json as jsonlib
import os
import signal
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from types import FrameType
from typing import cast

import typer
from rich.console import Console

from tunekit.backends.session import Start, dry_run, order
from tunekit.cli.next_command import Typed, after_rejection, command
from tunekit.errors import MissingError
from tunekit.launcher.caller import this_caller
from tunekit.launcher.exit_codes import STOPPED
from tunekit.launcher.preflight import refuse
from tunekit.planner.plan import Plan, Trust
from tunekit.run import OnOom, Run, check_on_oom, find_run, resume, start, this_machine
from tunekit.source import plan_loaded, read_source

REJECTED = 3


def launch_recipe(
    recipe: str,
    overrides: Sequence[str],
    *,
    on: str | None,
    trust: str,
    dry: bool,
    json: bool,
    master_port: int | None,
    on_oom: str = "stop",
) -> None:
    """Run a recipe to its end. Exits with 3 when the plan is rejected, 130 when the run was stopped."""
    check_on_oom(on_oom)
    loaded = read_source(recipe, overrides, on)
    plan = plan_loaded(loaded, on=on, trust=cast("Trust", trust))
    typed = Typed(recipe=recipe, overrides=tuple(overrides), on=on, trust=trust, master_port=master_port)
    typed = replace(typed, on_oom=on_oom)
    if plan.verdict == "rejected":
        _show_rejected(plan, typed, json=json)
    start_order = order(plan, loaded, wanted_port=master_port)
    if dry:
        with _naming_the_doctor(typed):
            _show_dry_run(start_order, typed, json=json)
        return
    console = _console(json=json)
    if not json:
        console.print(
            f"{start_order.run_dir.path.name}: {plan.verdict}. {plan.reason}",
            markup=False,
            highlight=False,
            soft_wrap=True,
        )
        _say_doubts(plan, console)
    with _gentle_signals(), _naming_the_doctor(typed):
        run = start(start_order, console=console, on_oom=cast("OnOom", on_oom))
    _report(run, console, json=json)


def resume_run(name: str, overrides: Sequence[str] = ()) -> None:
    """Go on with a run as a new attempt, to its end; under another plan where `overrides` change it."""
    console = _console(json=False)
    with _gentle_signals():
        run = resume(find_run(name), overrides, console=console)
    _report(run, console, json=False)


def _report(run: Run, console: Console, *, json: bool) -> None:
    result = run.checked()
    if json:
        typer.echo(jsonlib.dumps({"run_dir": str(run.path), "state": result.state, **dict(result.success)}, indent=2))
    else:
        run.show_result(console)
    if result.state == "stopped":
        raise typer.Exit(STOPPED)


def _show_rejected(plan: Plan, typed: Typed, *, json: bool) -> None:
    if json:
        from tunekit.planner.plan_json import plan_to_json

        typer.echo(jsonlib.dumps(plan_to_json(plan), indent=2))
    else:
        from tunekit.render.plan_text import render_plan

        render_plan(plan, Console(highlight=False))
        typer.echo(f"\nNothing was started. Next: {after_rejection(plan, typed)}")
    raise typer.Exit(REJECTED)


def _show_dry_run(shown: Start, typed: Typed, *, json: bool) -> None:
    """Print what would be started, then refuse what `launch` would refuse, with the same words and exit code."""
    from tunekit.render.request_text import print_request, request_json

    request, before, faults = dry_run(shown, this_caller(), this_machine(shown.plan.hardware))
    if json:
        typer.echo(jsonlib.dumps(request_json(shown.plan, request, shown.run_dir, before), indent=2))
    else:
        print_request(Console(highlight=False), shown.plan, request, shown.run_dir, before)
    refuse(faults)
    if not json:
        there = ", on that machine" if before.not_here else ""
        typer.echo(f"Next{there}: {command('launch', typed)}")


def _say_doubts(plan: Plan, console: Console) -> None:
    """One line for each doubt of the doctor's that stops nothing."""
    from tunekit.checkup import doubts
    from tunekit.render.doctor_text import warning_line

    for finding in doubts(plan):
        console.print(warning_line(finding), style="yellow", markup=False, highlight=False)


@contextmanager
def _naming_the_doctor(typed: Typed) -> Iterator[None]:
    """Where something is missing here, the command that looks at everything is the next to type."""
    try:
        yield
    except MissingError as error:
        raise MissingError(f"{error}\n`{command('doctor', typed)}` tells all, with what to type.") from error


def _console(*, json: bool) -> Console:
    """Where the live view goes: beside the JSON, not into it."""
    return Console(highlight=False, stderr=json)


@contextmanager
def _gentle_signals() -> Iterator[None]:
    """SIGTERM to tunekit itself stops the run as gently as Ctrl-C, which also counts in a script's background job.

    A terminal that is closed ends nothing: the run goes on unseen, its end is recorded, and `tunekit stop` ends it.
    """
    terminals = [stream for stream in (1, 2) if os.isatty(stream)]

    def interrupt(number: int, frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    def go_on_unseen(number: int, frame: FrameType | None) -> None:
        for stream in terminals:
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream)

    handlers = {signal.SIGINT: interrupt, signal.SIGTERM: interrupt, signal.SIGHUP: go_on_unseen}
    before = {number: signal.signal(number, handler) for number, handler in handlers.items()}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
