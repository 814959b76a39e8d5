"""Attempts of a run: the latest one's files lie at the top, earlier ones are moved into `attempt_N`, none is lost."""

from __future__ import annotations

from pathlib import Path

from tunekit.launcher.json_lines import Record, read_lines, read_record
from tunekit.launcher.metrics import step_records
from tunekit.launcher.run_dir import RunDir


def archive_attempt(run_dir: RunDir, *, with_plan: bool = False) -> int:
    """Move what the last attempt wrote into its folder; returns the number of the attempt that comes next.

    `with_plan`: the recipe and the plan too, because the next attempt has others.
    """
    files = (*_attempt_files(run_dir), *(_plan_files(run_dir) if with_plan else ()))
    present = [path for path in files if path.exists()]
    if present:
        folder = run_dir.attempt(last_attempt(run_dir))
        folder.mkdir(parents=True)
        for path in present:
            path.replace(folder / path.name)
    return next_attempt(run_dir)


def last_attempt(run_dir: RunDir) -> int:
    """Number of the attempt whose files lie at the top, counted from 1."""
    record = read_record(run_dir.launch) or {}
    number = record.get("attempt")
    return number if isinstance(number, int) else next_attempt(run_dir)


def next_attempt(run_dir: RunDir) -> int:
    """The first number that no folder has."""
    number = 1
    while run_dir.attempt(number).exists():
        number += 1
    return number


def all_metrics(run_dir: RunDir) -> list[Record]:
    """The metrics of every attempt in order; steps that a later attempt did again are taken from the later one."""
    records: list[Record] = []
    for folder in (*_archived(run_dir), run_dir.path):
        new = step_records(RunDir(folder))
        first = min((record["step"] for record in new if isinstance(record.get("step"), int)), default=None)
        if first is not None:
            records = [record for record in records if record.get("step", 0) < first]
        records.extend(new)
    return records


def answers_before(run_dir: RunDir) -> dict[str, str]:
    """What the model answered before any training, by question: only the first attempt asked it."""
    events = [event for folder in (*_archived(run_dir), run_dir.path) for event in read_lines(RunDir(folder).events)]
    asked = [event for event in events if event.get("event") == "sample" and event.get("when") == "before"]
    return {str(event.get("prompt")): str(event.get("answer")) for event in reversed(asked)}


def _archived(run_dir: RunDir) -> list[Path]:
    return [run_dir.attempt(number) for number in range(1, next_attempt(run_dir))]


def _attempt_files(run_dir: RunDir) -> tuple[Path, ...]:
    return (
        run_dir.launch,
        run_dir.launch_script,
        run_dir.logs,
        run_dir.metrics,
        run_dir.events,
        run_dir.failure,
        run_dir.measured,
        run_dir.success,
        run_dir.stop_request,
        run_dir.process,
        run_dir.result,
    )


def _plan_files(run_dir: RunDir) -> tuple[Path, ...]:
    return (run_dir.recipe, run_dir.resolved_recipe, run_dir.plan, run_dir.ds_config)
