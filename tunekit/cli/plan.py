"""`tunekit plan`: print the plan as text or JSON; exit code 3 when it is rejected."""

from __future__ import annotations

import json as jsonlib
import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import cast

import typer

from tunekit.cli.comparing import Comparing, Priced
from tunekit.cli.new_file import refuse_existing, write_new
from tunekit.cli.next_command import After, Typed, command, first_fix, with_fix
from tunekit.cli.trace import show_trace_alone, trace_plan
from tunekit.cli.wrapping import wrapped
from tunekit.errors import UnknownFamily
from tunekit.hub import gated_hint
from tunekit.launcher.history import MeasuredBefore, find_measured
from tunekit.launcher.run_dir import RUNS, RunDir
from tunekit.notebook import plan
from tunekit.planner.plan import Plan, Trust

REJECTED = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Views:
    """What is to be shown of a plan, and how."""

    json: bool = False
    explain: bool = False
    trace: bool = False
    html: Path | None = None
    comparing: Comparing | None = None


def show_plan(recipe: str, overrides: Sequence[str], *, on: str | None, trust: str, views: Views) -> None:
    """Plan and show it, with what the model's own code takes, or other machines cost. Exits with 3 when it is rejected.

    Raises what `plan` and the trace raise.
    """
    refuse_existing(views.html)
    try:
        made = plan(recipe, overrides, on=on, trust=cast("Trust", trust))
    except UnknownFamily:
        if not views.trace:
            raise
        show_trace_alone(recipe, overrides, on=on, json=views.json)
        return
    before = find_measured(made, (RUNS, Path(made.recipe.output.dir).parent))
    priced = _priced(made, views)
    after = _after(made, Typed(recipe=recipe, overrides=tuple(overrides), on=on, trust=trust))
    drawn = _draw(made, views.html, priced, before, after) if views.html and priced else ""
    if views.json:
        from tunekit.planner.plan_json import plan_to_json

        past = None if before is None else asdict(before)
        tree = {**plan_to_json(made), "measured_before": past, "data_faults": _data_faults(made)}
        tree["output_fault"] = _output_fault(made)
        if views.trace:
            tree["trace"] = trace_plan(made).tree()
        if views.comparing and priced:
            tree["comparison"] = priced.tree()
        typer.echo(jsonlib.dumps(tree, indent=2))
    else:
        _print(made, before, explain=views.explain)
        if views.trace:
            trace_plan(made).show()
        if views.comparing and priced:
            priced.show()
        typer.echo(drawn + after.text)
    if made.verdict == "rejected":
        raise typer.Exit(REJECTED)


def _priced(made: Plan, views: Views) -> Priced | None:
    if views.comparing:
        return Priced.of(made, views.comparing)
    return Priced.for_page(made) if views.html else None


def _draw(made: Plan, file: Path, priced: Priced, before: MeasuredBefore | None, after: After) -> str:
    from tunekit.render.plan_html import plan_page

    text = plan_page(made, priced.sections(), before, after.sections)
    return f"\nDrawn in {file}{write_new(file, text)}: open it in a browser."


def _print(made: Plan, before: MeasuredBefore | None, *, explain: bool) -> None:
    from rich.console import Console

    from tunekit.render.plan_text import render_plan

    render_plan(made, Console(highlight=False), explain=explain, before=before)


def _after(made: Plan, typed: Typed) -> After:
    """What would stop a launch, and the next command to type."""
    if made.verdict == "rejected":
        fix = first_fix(made)
        return After(done="Nothing was started.", typed=command("plan", with_fix(typed, fix)) if fix else "")
    faults, held = _data_faults(made), _output_fault(made)
    said = [_stop(fault, "the data") for fault in faults]
    if held:
        from tunekit.backends.output import free_name

        said.append(_stop(held, "the folder"))
        typed = with_fix(typed, [f"output.dir={free_name(Path(made.recipe.output.dir))}"])
    hint = gated_hint(made.recipe.model.path, made.recipe.model.revision)
    said += [hint] if hint else []
    word = "Mend the data first, then" if faults else "Next"
    return After(said=tuple(said), word=word, typed=command("launch", typed))


def _stop(fault: str, where: str) -> str:
    """Without what a launch would add of itself, as wide as the plan."""
    from rich.console import Console

    told = re.sub(r"(^|\n)\d+ problems? in [^\n]*; nothing was started\.\Z|; nothing was started(?=\.\Z)", "", fault)
    return wrapped(f"A launch would stop at {where}: {told.rstrip()}", Console().width)


def _output_fault(made: Plan) -> str | None:
    """What lies in the output folder and must not be overwritten."""
    folder = Path(made.recipe.output.dir)
    if not folder.exists():
        return None
    from tunekit.backends.output import held_fault

    return held_fault(RunDir(folder))


def _data_faults(made: Plan) -> tuple[str, ...]:
    """Why a launch from here could not learn from the data; the verdict is about the machine and holds without it."""
    from tunekit.backends.facts import data_faults

    return data_faults(made.recipe.data)
