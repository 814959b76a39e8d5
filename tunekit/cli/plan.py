"""`tunekit plan`: print the plan as text or JSON; exit code 3 when it is rejected."""

from __future__ import annotations

import json as jsonlib
import re
import shlex
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import cast

import typer

from tunekit.cli.comparing import Comparing, Priced
from tunekit.cli.new_file import refuse_existing, write_new
from tunekit.cli.next_command import After, Typed, command, first_fix, with_fix
from tunekit.cli.trace import show_trace_alone, trace_plan
from tunekit.errors import UnknownFamily
from tunekit.hub import gated_hint
from tunekit.launcher.history import MeasuredBefore, find_measured
from tunekit.launcher.run_dir import RUNS, run_dir_at
from tunekit.notebook import plan
from tunekit.planner.plan import Plan, Trust

REJECTED = 3
COLUMNS = "data.columns"


@dataclass(frozen=True, slots=True, kw_only=True)
class Views:
    """What is to be shown of a plan, and how."""

    json: bool = False
    explain: bool = False
    trace: bool = False
    html: Path | None = None
    comparing: Comparing | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class InTheWay:
    """What would stop a launch from here; the verdict is about the machine and holds without it."""

    data: tuple[str, ...]
    folder: str | None
    going: bool
    """Whether a run goes on in the folder."""


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
    way = _in_the_way(made)
    typed = Typed(recipe=recipe, overrides=tuple(overrides), on=on, trust=trust)
    after = _after(made, way, typed)
    drawn = _draw(made, views.html, priced, before, after) if views.html and priced else ""
    if views.json:
        from tunekit.planner.plan_json import plan_to_json

        past = None if before is None else asdict(before)
        tree = {**plan_to_json(made), "measured_before": past, "data_faults": way.data, "output_fault": way.folder}
        for fix, told in zip(made.fixes, tree["fixes"], strict=True):
            told["command"] = command("plan", with_fix(typed, shlex.split(fix.set)))
        if views.trace:
            tree["trace"] = trace_plan(made).tree()
        if views.comparing and priced:
            tree["comparison"] = priced.tree()
        typer.echo(jsonlib.dumps(tree, indent=2))
    else:
        width = _print(made, before, explain=views.explain)
        if views.trace:
            trace_plan(made).show()
        if views.comparing and priced:
            priced.show()
        typer.echo(drawn + after.text(width))
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


def _print(made: Plan, before: MeasuredBefore | None, *, explain: bool) -> int:
    """The plan as text; how wide it is."""
    from rich.console import Console

    from tunekit.render.plan_text import render_plan

    console = Console(highlight=False)
    render_plan(made, console, explain=explain, before=before)
    return console.width


def _in_the_way(made: Plan) -> InTheWay:
    from tunekit.backends.facts import data_faults
    from tunekit.backends.output import goes_on, held_fault

    run_dir = run_dir_at(made.recipe.output.dir)
    return InTheWay(data=data_faults(made.recipe.data), folder=held_fault(run_dir), going=goes_on(run_dir))


def _after(made: Plan, way: InTheWay, typed: Typed) -> After:
    """What would stop a launch, and the next command to type."""
    if made.verdict == "rejected":
        fix = first_fix(made)
        return After(done="Nothing was started.", typed=command("plan", with_fix(typed, fix)) if fix else "")
    said = [_stop(fault, "the data") for fault in way.data]
    said += [_stop(way.folder, "the folder")] if way.folder else []
    hint = gated_hint(made.recipe.model.path, made.recipe.model.revision)
    said += [hint] if hint else []
    word = "Mend the data first, then" if way.data else "Next"
    return After(said=tuple(said), word=word, typed=_next(made, way, _without_wrong_columns(made, typed, way)))


def _without_wrong_columns(made: Plan, typed: Typed, way: InTheWay) -> Typed:
    """The words without a mapping of columns that the data do not have: what was said names another.

    Beside rows of their own for evaluation it may be those that lack them, and the mapping is right.
    """
    wrong = made.recipe.data.eval_path is None and any(COLUMNS in fault for fault in way.data)
    return replace(typed, overrides=tuple(word for word in typed.overrides if not (wrong and word.startswith(COLUMNS))))


def _next(made: Plan, way: InTheWay, typed: Typed) -> str:
    """A launch, into another folder where this one is taken; of a run that goes on, its log."""
    if way.going:
        return shlex.join(["tunekit", "logs", "-f", made.recipe.output.dir])
    if way.folder is None:
        return command("launch", typed)
    from tunekit.backends.output import free_name

    other = free_name(run_dir_at(made.recipe.output.dir).path)
    return command("launch", with_fix(typed, [f"output.dir={other}"]))


def _stop(fault: str, where: str) -> str:
    """Without what a launch would add of itself."""
    told = re.sub(r"(^|\n)\d+ problems? in [^\n]*; nothing was started\.\Z|; nothing was started(?=\.\Z)", "", fault)
    return f"A launch would stop at {where}: {told.rstrip()}"
