"""A run attempt by attempt: with which changes each began, how far it came, and how it ended."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tunekit.launcher.attempts import last_attempt
from tunekit.launcher.history import differences
from tunekit.launcher.json_lines import Record, read_lines, read_record
from tunekit.launcher.run_dir import RunDir

UNSEEN = "nobody watched its end, and its exit code is not known"


@dataclass(frozen=True, slots=True, kw_only=True)
class Chapter:
    """One attempt. `changes`: `key=value` that the attempt before had otherwise; `since`: the checkpoint to go on from.

    `ending`: done, failed, stopped, ended where nobody has seen how, or empty while it runs; `why` says more of it.
    """

    attempt: int
    changes: tuple[str, ...] = ()
    since: str = ""
    ending: str = ""
    why: str = ""
    step: int | None = None
    max_steps: int | None = None

    def __str__(self) -> str:
        """`attempt 2: with train.micro_batch_size=1, from checkpoint-4: done at step 8 of 8`."""
        began = [f"with {' '.join(self.changes)}"] if self.changes else []
        began += [f"from {self.since}"] if self.since else []
        far = "" if self.step is None else f" at step {self.step} of {self.max_steps or '?'}"
        ended = f"{self.ending}{far}" if self.ending else f"going on{far}"
        parts = [f"attempt {self.attempt}", ", ".join(began), ended, self.why]
        return ": ".join(part for part in parts if part)


def story_of(run_dir: RunDir, *, going: bool = True) -> tuple[Chapter, ...]:
    """Every attempt of a run, the first in front; `going`: whether the last one may go on, if no end is recorded."""
    folders = _folders(run_dir)
    jobs = _jobs(folders)
    last = len(folders)
    return tuple(
        _chapter(folder, number, jobs, going=going and number == last) for number, folder in enumerate(folders, start=1)
    )


def _folders(run_dir: RunDir) -> list[Path]:
    last = last_attempt(run_dir)
    return [*(run_dir.attempt(number) for number in range(1, last)), run_dir.path]


def _jobs(folders: list[Path]) -> list[Record]:
    """The job of each attempt; one without a plan of its own had that of the next."""
    jobs: list[Record] = []
    for folder in reversed(folders):
        job = (read_record(RunDir(folder).plan) or {}).get("job")
        jobs.append(job if isinstance(job, dict) else jobs[-1] if jobs else {})
    return jobs[::-1]


def _chapter(folder: Path, number: int, jobs: list[Record], *, going: bool) -> Chapter:
    files = RunDir(folder)
    last = next((record for record in reversed(read_lines(files.metrics)) if "loss" in record), {})
    result, since = read_record(files.result) or {}, (read_record(files.launch) or {}).get("resume_from")
    ending, why = _ending(files, result)
    if not ending and not going:
        ending, why = "ended", UNSEEN
    return Chapter(
        attempt=number,
        changes=tuple(_changes(jobs, number - 1)),
        since=Path(since).name if isinstance(since, str) else "",
        ending=ending,
        why=why,
        step=last.get("step"),
        max_steps=last.get("max_steps"),
    )


def _ending(files: RunDir, result: Record) -> tuple[str, str]:
    """How an attempt ended and why, as it was recorded; empty where nothing was."""
    if read_record(files.success) is not None:
        return "done", ""
    why = str(result.get("said") or result.get("reason") or "")
    return str(result.get("state", "")), "" if files.success.exists() else why


def _changes(jobs: list[Record], index: int) -> Iterator[str]:
    if index and jobs[index] and jobs[index - 1]:
        yield from differences(jobs[index], jobs[index - 1])
