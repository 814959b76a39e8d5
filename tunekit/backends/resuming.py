"""What `tunekit resume` starts: the newest complete checkpoint of a run, under its own plan or under a changed one."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from contextlib import chdir
from dataclasses import dataclass, replace
from pathlib import Path

from tunekit.backends.output import command_anew
from tunekit.backends.processes import is_alive
from tunekit.backends.session import Start
from tunekit.errors import RecipeError, UsageError
from tunekit.launcher.build import deals_round
from tunekit.launcher.caller import Caller
from tunekit.launcher.checkpoint_bytes import Damage, bytes_fault
from tunekit.launcher.checkpoints import DOUBT, Checkpoint, list_checkpoints, newest_complete, passed_over
from tunekit.launcher.json_lines import read_record
from tunekit.launcher.resuming import (
    check_same_training,
    how_to_read,
    refuse_changes,
    reopened,
    rows_stay,
    what_is_lost,
)
from tunekit.launcher.run_dir import RunDir
from tunekit.launcher.state import is_run, read_plan, read_state
from tunekit.planner.answered import answered_values
from tunekit.planner.plan import Plan
from tunekit.recipe.loading import LoadedRecipe, load_recipe

OF_THE_RUN = "the recipe of the run"
Planning = Callable[[LoadedRecipe], Plan]
"""Makes the plan of a recipe, as `tunekit plan` does."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Resumption:
    """How a run goes on: `passed_over` are newer checkpoints of no use, `remark` says what is different."""

    start: Start
    caller: Caller
    checkpoint: Checkpoint
    passed_over: tuple[Checkpoint, ...] = ()
    remark: str = ""


def resumable(
    run_dir: RunDir,
    caller: Caller,
    overrides: Sequence[str] = (),
    planning: Planning | None = None,
    *,
    damage: Damage = bytes_fault,
) -> Resumption:
    """From the newest complete checkpoint whose bytes have no `damage`, in the folder the run was started in.

    UsageError: not a run, going on, done, without a complete checkpoint, or that folder is gone; with what to do.
    RecipeError: an override would make the rest another training.
    """
    refuse_what_cannot_go_on(run_dir)
    refuse_changes(overrides)
    before = read_plan(run_dir)
    checkpoint = _checkpoint_to_resume(run_dir, before, damage)
    there = replace(caller, cwd=folder_of_start(run_dir, caller))
    with chdir(there.cwd):
        plan = _replanned(before, overrides, planning) if overrides and planning is not None else before
    transfer = how_to_read(checkpoint, before.job, plan.job, round_robin=deals_round(plan))
    start = Start(
        plan=plan,
        recipe_text=text_with(run_dir, overrides),
        run_dir=run_dir,
        resume_from=checkpoint.path,
        transfer=transfer,
        replanned=plan is not before,
    )
    return Resumption(
        start=start,
        caller=there,
        checkpoint=checkpoint,
        passed_over=passed_over(run_dir.checkpoints, checkpoint),
        remark=what_is_lost(transfer, checkpoint, plan.job),
    )


def refuse_what_cannot_go_on(run_dir: RunDir) -> None:
    """UsageError: it is not a run, going on, or done."""
    if not is_run(run_dir):
        raise UsageError(f"{run_dir.path} is not a run directory; `tunekit runs` lists the runs.")
    state = read_state(run_dir, alive=is_alive(run_dir))
    if state in ("running", "preparing"):
        raise UsageError(f"{run_dir.path} is {state}; `tunekit stop {run_dir.path}` ends it.")
    if state == "done":
        raise UsageError(f"{run_dir.path} is done; its result lies in {run_dir.final}.")


def folder_of_start(run_dir: RunDir, caller: Caller) -> str:
    """Where paths in the recipe are seen from. UsageError: that folder is gone."""
    cwd = str((read_record(run_dir.launch) or {}).get("cwd", caller.cwd))
    if not Path(cwd).is_dir():
        raise UsageError(
            f"{run_dir.path} was started in {cwd}, which is not there: paths in its recipe are seen from it."
        )
    return cwd


def _replanned(before: Plan, overrides: Sequence[str], planning: Planning) -> Plan:
    values = reopened(answered_values(before), overrides)
    try:
        plan = planning(load_recipe(values, overrides, name=OF_THE_RUN))
    except RecipeError as error:
        problems = (rows_stay(problem, before.job) for problem in error.problems)
        raise RecipeError(tuple(problems), source=OF_THE_RUN) from error
    check_same_training(before.job, plan.job)
    return plan


def text_with(run_dir: RunDir, overrides: Sequence[str]) -> str:
    """The recipe as it was given, with the changes as comments."""
    lines = [f"#   {override}\n" for override in overrides]
    return run_dir.recipe.read_text() + "".join(["\n# Changed when it was resumed:\n", *lines] if lines else [])


def _checkpoint_to_resume(run_dir: RunDir, plan: Plan, damage: Damage) -> Checkpoint:
    while (complete := newest_complete(run_dir.checkpoints)) is not None:
        fault = damage(complete.path)
        if fault is None:
            return complete
        (complete.path / DOUBT).write_text(json.dumps({"reason": fault}) + "\n")
    broken = [f"  {found.path.name}: {found.fault}" for found in list_checkpoints(run_dir.checkpoints)]
    again = command_anew(run_dir)
    saving = "" if plan.recipe.output.save_steps else " output.save_steps=50"
    raise UsageError(
        "\n".join(
            [f"{run_dir.path} has no complete checkpoint to go on from.", *broken, f"Start anew: {again}{saving}"]
        )
    )
