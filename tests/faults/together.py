"""Runs that met a fault go on in one launch: the worker itself, from the checkpoint that `tunekit resume` would choose.

The imports of a launch take longer than the steps of a run; the command itself is proven by the others.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import chdir
from dataclasses import replace
from pathlib import Path

from tests.faults.fault import Outcome
from tests.faults.judging import chosen, other_end
from tests.faults.place import Place
from tests.integration import tiny
from tunekit.launcher.attempts import archive_attempt
from tunekit.launcher.run_dir import RunDir

ONE_LAUNCH = 12
"""Runs that go on in one launch: one that fails ends those behind it."""


def went_on(outcomes: Sequence[Outcome], place: Place) -> list[Outcome]:
    """The outcomes of those that waited, judged by their end."""
    waiting = [outcome for outcome in outcomes if outcome.waits]
    for first in range(0, len(waiting), ONE_LAUNCH):
        go_on([RunDir(Path(outcome.run)) for outcome in waiting[first : first + ONE_LAUNCH]], place)
    return [judged(outcome, place) for outcome in waiting]


def go_on(runs: Sequence[RunDir], place: Place) -> None:
    """Each run from its newest whole checkpoint, or from its beginning where it has none."""
    for run in runs:
        archive_attempt(run)
    checkpoints = {run.path: found.path for run in runs if (found := chosen(run)) is not None}
    with chdir(place.folder):  # from which the recipe's paths are seen
        tiny.finish(tiny.start([run.path for run in runs], checkpoints=checkpoints))


def judged(outcome: Outcome, place: Place) -> Outcome:
    """The outcome with what is wrong at the end."""
    problems = tuple(other_end(RunDir(Path(outcome.run)), place))
    return replace(outcome, waits=False, after=f"{outcome.after} (together)", problems=problems)
