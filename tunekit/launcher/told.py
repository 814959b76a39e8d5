"""What the ranks of a run told of its end: the record of the first, and the tracebacks of the logs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from tunekit.diagnosis.cause import ENDED_AS_ASKED, KILLED, Cause, is_consequence
from tunekit.diagnosis.tracebacks import SHOWN_LINES, last_lines
from tunekit.launcher.json_lines import read_record
from tunekit.launcher.logs import find_rank_log, tail, traceback_in
from tunekit.launcher.run_dir import RunDir

LAST_WORDS = 20
"""Lines at the end of a log among which a rank's last words stand; libraries may say more at their own end."""


def told_by(run_dir: RunDir, world_size: int) -> list[Cause]:
    """The record of the rank that was first to write one, then the logs, the one that ended first in front."""
    return [*_recorded(run_dir), *_logged(run_dir, world_size)]


def all_ended_as_asked(run_dir: RunDir, world_size: int, *, gone_first: int | None) -> bool:
    """Whether somebody was asked to end, and every other rank was too, or only lost that one.

    `gone_first`: the rank seen to vanish first, if any was; who was asked because of that one does not count.
    """
    told = told_by(run_dir, world_size)
    if gone_first is not None and not any(cause.asked and cause.rank == gone_first for cause in told):
        return False
    everybody = {cause.rank for cause in told} == set(range(world_size))
    return everybody and any(cause.asked for cause in told) and all(map(is_consequence, told))


def launchers_words(run_dir: RunDir) -> tuple[str, ...]:
    """The end of the launcher's log without its narration, which says nothing about a cause."""
    lines = tail(run_dir.launcher_log, 40)
    return tuple(line for line in lines if "[INFO]" not in line and "Unable to find hostfile" not in line)[
        -SHOWN_LINES:
    ]


def _recorded(run_dir: RunDir) -> Iterator[Cause]:
    failure: Mapping[str, Any] = read_record(run_dir.failure) or {}
    rank, signal = (value if isinstance(value, int) else None for value in map(failure.get, ("rank", "signal")))
    if failure.get("type") == KILLED:
        yield Cause(rank=rank, silent=True, signal=signal)
    elif text := failure.get("traceback") or failure.get("message"):
        yield Cause(rank=rank, lines=last_lines(str(text)))


def _logged(run_dir: RunDir, world_size: int) -> Iterator[Cause]:
    paths = [(rank, path) for rank in range(world_size) if (path := find_rank_log(run_dir, rank)) is not None]
    for rank, path in sorted(paths, key=lambda pair: pair[1].stat().st_mtime):
        if ENDED_AS_ASKED in tail(path, LAST_WORDS):
            yield Cause(rank=rank, lines=(ENDED_AS_ASKED,))
        elif (traceback := traceback_in(path)) is not None:
            yield Cause(rank=rank, lines=last_lines(traceback))
