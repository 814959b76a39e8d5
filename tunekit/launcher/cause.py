"""Which rank failed first, and what it said: a rank that lost its peer tells of a consequence, not of the cause."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from tunekit.launcher.json_lines import read_record
from tunekit.launcher.logs import find_rank_log, tail, traceback_in
from tunekit.launcher.run_dir import RunDir

SHOWN_LINES = 12
KILLED = "Killed"
"""The `type` in failure.json of a rank that ended without an error of its own."""

_PEER_LOST = re.compile(
    r"closed by peer|reset by peer|Broken pipe|Socket Timeout|recvValue failed|Connection was likely closed"
    r"|remote process exited|remote process exiting|ncclRemoteError|NCCL communicator was aborted"
    r"|Watchdog caught collective operation timeout",
    re.IGNORECASE,
)
"""What gloo, NCCL and torch's store say when another rank has gone."""
_MARKERS = re.compile(r"^[\s^~]*$")


@dataclass(frozen=True, slots=True, kw_only=True)
class Cause:
    """The rank, if it is known, and the last lines of what it said. `silent`: it was gone without a word.

    `signal`: an earlier reader has recorded what ended it.
    """

    rank: int | None = None
    lines: tuple[str, ...] = ()
    silent: bool = False
    signal: int | None = None


def find_cause(run_dir: RunDir, *, world_size: int, gone_first: int | None = None, by_signal: bool = False) -> Cause:
    """The cause of a failure, from the failure record and the logs.

    `gone_first`: the rank seen to vanish first; `by_signal`: a signal was seen to end it, whatever others say of it.
    """
    told = [*_recorded(run_dir), *_logged(run_dir, world_size)]
    if by_signal and gone_first is not None:
        last_words = (cause for cause in told if cause.rank == gone_first)
        return next(last_words, Cause(rank=gone_first, silent=True))
    firsthand = next((cause for cause in told if not _is_consequence(cause)), None)
    if firsthand is not None:
        return firsthand
    silent = [rank for rank in range(world_size) if rank not in {cause.rank for cause in told}]
    if told and silent:
        return Cause(rank=gone_first if gone_first in silent else silent[0], silent=True)
    if told:
        return told[0]
    if gone_first is not None:
        return Cause(rank=gone_first, silent=True)
    return Cause(lines=tuple(_without_narration(tail(run_dir.launcher_log, 40)))[-SHOWN_LINES:])


def _recorded(run_dir: RunDir) -> Iterator[Cause]:
    """The record of the rank that was first to write one."""
    failure: Mapping[str, Any] = read_record(run_dir.failure) or {}
    rank, signal = (value if isinstance(value, int) else None for value in map(failure.get, ("rank", "signal")))
    if failure.get("type") == KILLED:
        yield Cause(rank=rank, silent=True, signal=signal)
    elif text := failure.get("traceback") or failure.get("message"):
        yield Cause(rank=rank, lines=_last_lines(str(text)))


def _logged(run_dir: RunDir, world_size: int) -> Iterator[Cause]:
    """The tracebacks of the logs, that of the rank which stopped writing first in front."""
    paths = [(rank, path) for rank in range(world_size) if (path := find_rank_log(run_dir, rank)) is not None]
    for rank, path in sorted(paths, key=lambda pair: pair[1].stat().st_mtime):
        traceback = traceback_in(path)
        if traceback is not None:
            yield Cause(rank=rank, lines=_last_lines(traceback))


def _is_consequence(cause: Cause) -> bool:
    return any(_PEER_LOST.search(line) for line in cause.lines[-3:])


def _last_lines(text: str) -> tuple[str, ...]:
    """The last lines of a traceback, without the lines that only point into the line above."""
    return tuple(line.rstrip() for line in text.splitlines() if not _MARKERS.match(line))[-SHOWN_LINES:]


def _without_narration(lines: list[str]) -> list[str]:
    """The launcher's own narration says nothing about the cause."""
    return [line for line in lines if "[INFO]" not in line and "Unable to find hostfile" not in line]
