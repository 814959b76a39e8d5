"""`tunekit plan`: print the plan as text or JSON; exit code 3 when it is rejected."""

from __future__ import annotations

import json as jsonlib
import shlex
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import cast

import typer

from tunekit.launcher.history import MeasuredBefore, find_measured
from tunekit.launcher.run_dir import RUNS
from tunekit.notebook import plan
from tunekit.planner.plan import Plan, Trust

REJECTED = 3


def show_plan(recipe: str, overrides: Sequence[str], *, on: str | None, trust: str, json: bool, explain: bool) -> None:
    """Plan and print. Exits with 3 when the plan is rejected; raises what `plan` raises."""
    made = plan(recipe, overrides, on=on, trust=cast("Trust", trust))
    before = find_measured(made, (RUNS, Path(made.recipe.output.dir).parent))
    if json:
        from tunekit.planner.plan_json import plan_to_json

        tree = {**plan_to_json(made), "measured_before": None if before is None else asdict(before)}
        typer.echo(jsonlib.dumps(tree, indent=2))
    else:
        _print(made, before, explain=explain)
        typer.echo(_next(made, recipe, overrides, on))
    if made.verdict == "rejected":
        raise typer.Exit(REJECTED)


def _print(made: Plan, before: MeasuredBefore | None, *, explain: bool) -> None:
    from rich.console import Console

    from tunekit.render.plan_text import render_plan

    render_plan(made, Console(highlight=False), explain=explain, before=before)


def _next(made: Plan, recipe: str, overrides: Sequence[str], on: str | None) -> str:
    """The next command to type."""
    aimed = ["--on", on] if on else []
    if made.verdict != "rejected":
        return f"\nNext: tunekit launch {shlex.join([recipe, *overrides, *aimed])}"
    fix = _first_fix(made)
    if not fix:
        return "\nNothing was started."
    keys = {word.partition("=")[0] for word in fix}
    # Another preset or method stands in the place of what was typed about the old one.
    gone = keys | {"zero.stage", "zero.config"} if "zero.preset" in keys else keys
    kept = [word for word in overrides if word.partition("=")[0] not in gone]
    aimed = [] if "hardware" in keys else aimed
    return f"\nNothing was started. Next: tunekit plan {shlex.join([recipe, *kept, *fix, *aimed])}"


def _first_fix(made: Plan) -> list[str]:
    """The words of the first fix that is enough: one for this machine where there is one, else another machine."""
    enough = [fix.set.split() for fix in made.fixes if fix.verdict != "rejected"]
    here = [words for words in enough if not any(word.startswith("hardware=") for word in words)]
    return (here or enough or [[]])[0]
