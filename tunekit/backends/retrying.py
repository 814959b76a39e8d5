"""After a run has run out of memory: the smallest change that is known to fit and keeps the training, and its start.

Kept are the global batch, the rows of every step and their order, and the length of the rows: the change says only how
a step is computed. Which rank gets which of a step's rows may differ, so losses agree to rounding, and dropout draws
other numbers.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import chdir
from dataclasses import dataclass, replace

from tunekit.backends.resuming import folder_of_start, resumable, text_with
from tunekit.backends.session import Start
from tunekit.errors import UsageError
from tunekit.launcher.caller import Caller
from tunekit.launcher.checkpoint_bytes import Damage
from tunekit.launcher.checkpoints import newest_complete
from tunekit.launcher.outcome import RunResult
from tunekit.launcher.resuming import check_same_training, reopened
from tunekit.launcher.run_dir import RunDir
from tunekit.launcher.state import read_plan
from tunekit.planner.answered import answered_values
from tunekit.planner.make import make_plan
from tunekit.planner.mending import Mend, Seen, find_mends
from tunekit.planner.plan import Plan
from tunekit.recipe.job import Job
from tunekit.recipe.loading import LoadedRecipe, load_recipe

MOST_RETRIES = 3
MOST_MENDS = 8
KEPT = frozenset(
    {
        "data.num_workers",
        "model.attention",
        "train.activation_checkpointing",
        "train.gradient_accumulation_steps",
        "train.loss",
        "train.micro_batch_size",
        "zero.pin_memory",
        "zero.preset",
    }
)
"""Keys that a retry may change: how a step is computed, not what is learned."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Retry:
    """The next attempt, and the change that it is made with; `step` is the one it goes on from, None for the first."""

    start: Start
    caller: Caller
    mend: Mend
    step: int | None

    def __str__(self) -> str:
        """What is done, and what is kept."""
        where = "from the beginning" if self.step is None else f"from step {self.step}"
        job = self.start.plan.job
        kept = f"{job.batch.global_batch_size:,} rows a step, their order, and {job.max_seq_length:,} tokens a row"
        return f"Trying again {where} with {self.mend}. Kept: {kept}."


def next_try(
    run_dir: RunDir, result: RunResult, caller: Caller, *, tried: Sequence[Job], damage: Damage
) -> Retry | None:
    """What to try after an attempt that ran out of memory, or was stopped before it did.

    None where it was something else, or nothing surely fits.
    `tried`: the jobs that were tried before, which are not tried again. `damage` is asked for each candidate.
    """
    if result.state == "done" or result.fault is None or len(tried) > MOST_RETRIES:
        return None
    before = read_plan(run_dir)
    seen = Seen(place="device" if result.fault == "GPU memory" else "host", bytes=result.seen_bytes)
    for mend in find_mends(before, seen, keys=KEPT, most=MOST_MENDS):
        retry = _with(mend, run_dir, before, caller, damage)
        if retry is not None and retry.start.plan.job not in tried:
            return retry
    return None


def _with(mend: Mend, run_dir: RunDir, before: Plan, caller: Caller, damage: Damage) -> Retry | None:
    """The start with this change; None where it would be another training, or would lose the optimizer's states."""
    try:
        retry = _from_checkpoint(mend, run_dir, before, caller, damage) or _anew(mend, run_dir, before, caller)
    except UsageError:
        return None
    lost = retry.start.transfer == "weights"
    return None if lost or retry.start.plan.verdict == "rejected" else retry


def _from_checkpoint(mend: Mend, run_dir: RunDir, before: Plan, caller: Caller, damage: Damage) -> Retry | None:
    if newest_complete(run_dir.checkpoints) is None:
        return None
    found = resumable(run_dir, caller, mend.overrides, lambda loaded: _planned(loaded, before), damage=damage)
    return Retry(start=found.start, caller=found.caller, mend=mend, step=found.checkpoint.step)


def _anew(mend: Mend, run_dir: RunDir, before: Plan, caller: Caller) -> Retry:
    """From the first step, where no checkpoint was saved: what the attempt left is kept beside."""
    there = replace(caller, cwd=folder_of_start(run_dir, caller))
    with chdir(there.cwd):
        plan = _planned(load_recipe(reopened(answered_values(before), mend.overrides), mend.overrides), before)
    check_same_training(before.job, plan.job)
    start = Start(plan=plan, recipe_text=text_with(run_dir, mend.overrides), run_dir=run_dir, replanned=True)
    return Retry(start=start, caller=there, mend=mend, step=None)


def _planned(loaded: LoadedRecipe, before: Plan) -> Plan:
    """On the same machine, as it was then: what has failed says more of it than another look."""
    return make_plan(loaded.recipe, before.model_shape, before.hardware, trust=before.trust)
