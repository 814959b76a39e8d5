"""Logs of any launcher as values: which line is whose, when it was written, how the launcher says that it ended."""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from itertools import accumulate

from tunekit.diagnosis.cleaning import as_written, plain

_PREFIX = re.compile(r"^\s*\[(?:rank|default)?(\d{1,4})\]:\s?")
"""`[rank1]:` of torch, `[default1]:` of `torchrun --tee`, `[1]:` of others."""
_BAR = r"\d+%\|[^|\n]*\|[^\[\n]*\[[^\]\n]*\]"
_BEHIND_A_BAR = re.compile(rf"({_BAR})(?=\S)")
"""A progress bar that stands still: what is written next goes on in its line."""
_ONLY_A_BAR = re.compile(rf"\d+%\s*$|{_BAR}\s*$")
_IN_NAME = re.compile(r"rank[_-]?(\d+)\D*$|(?:^|/)(\d+)/std(?:err|out)\.log$")
"""`rank_1.log`, deepspeed's `TIME_rank1.log`, torchrun's `attempt_0/1/stderr.log`."""
_DATED = re.compile(r"(\d{4}-\d\d-\d\d)[ T](\d\d:\d\d:\d\d)(?:[.,](\d{1,6}))?")
_GLOG = re.compile(r"\b[IWEF](\d\d)(\d\d) (\d\d:\d\d:\d\d)\.(\d{1,6})")
"""`E1122 10:15:32.123456` of torch's C++ and of its elastic agent."""
_DEEPSPEED_END = re.compile(r"^(.*)exits with return code = (-?\d+)", re.MULTILINE)
_LOCAL_RANK = re.compile(r"--local[_-]rank[= ]'?(\d+)")
_TORCHRUN_END = re.compile(r"failed \(exitcode: (-?\d+)\) local_rank: (\d+)")
_ROOT_CAUSE = re.compile(
    r"Root Cause \(first observed failure\):[\s\S]{1,400}?rank\s*: (\d+) \(local_rank: \d+\)\s+exitcode\s*: (-?\d+)"
)
_ACCELERATE_END = re.compile(r"returned non-zero exit status (\d+)|died with <Signals\.\w+: (\d+)>")
_FINISHED = re.compile(r"exits successfully|'train_runtime':|\"train_runtime\":|Training completed\.")


@dataclass(frozen=True, slots=True, kw_only=True)
class Log:
    """One file as it was read. `moment`: when it was last written, in seconds since 1970."""

    name: str
    text: str
    moment: float | None = None

    @property
    def rank(self) -> int | None:
        """The rank that its name tells."""
        match = _IN_NAME.search(self.name.removesuffix(".log") if "/std" not in self.name else self.name)
        return None if match is None else int(match[1] or match[2])


@dataclass(frozen=True, kw_only=True)
class Voice:
    """What one rank wrote into one log, without the prefixes; of rank None: what no rank has put its name to.

    `numbers` count the lines of the log, so that voices of one log can be ordered; what goes on in the line of a
    progress bar is a line of its own. `sources`: the lines with all prefixes, which may tell the time.
    """

    rank: int | None
    log: int
    lines: tuple[str, ...]
    sources: tuple[str, ...]
    numbers: tuple[int, ...]
    moment: float | None = None

    @cached_property
    def text(self) -> str:
        """Its lines, joined once."""
        return "\n".join(self.lines)

    def line_at(self, place: int) -> int:
        """Index into `lines` of a place in the text."""
        return bisect_right(self._starts, place) - 1

    def written_at(self, indexes: Sequence[int]) -> Iterator[float | None]:
        """Of each of these lines (in order) the last time that stands in a line up to it.

        In seconds, comparable within the same logs only. No line is read twice.
        """
        last, since = None, 0
        for index in indexes:
            found = (stamp_of(line) for line in reversed(self.sources[since : index + 1]))
            last, since = next((stamp for stamp in found if stamp is not None), last), index + 1
            yield last

    @cached_property
    def _starts(self) -> list[int]:
        return list(accumulate((len(line) + 1 for line in self.lines), initial=0))


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """How the launcher says that the first rank ended: `code` as Popen has it (-9: signal 9). None: it does not say."""

    rank: int | None = None
    code: int | None = None
    finished: bool = False
    """The job says that it came to its end."""

    @property
    def signal(self) -> int | None:
        """The signal that ended it."""
        return -self.code if self.code is not None and self.code < 0 else None


def voices(logs: Sequence[Log]) -> list[Voice]:
    """Every voice of the logs, in the order in which they begin to speak."""
    return [voice for number, log in enumerate(logs) for voice in _voices_of(log, number)]


def how_it_ended(text: str) -> Ended:
    """What launchers write at the end: deepspeed, torchrun, accelerate. The first line counts."""
    finished = _FINISHED.search(text) is not None
    if match := _ROOT_CAUSE.search(text):
        return Ended(rank=int(match[1]), code=int(match[2]), finished=finished)
    if match := _TORCHRUN_END.search(text):
        return Ended(rank=int(match[2]), code=int(match[1]), finished=finished)
    if (match := _DEEPSPEED_END.search(text)) and int(match[2]):
        rank = _LOCAL_RANK.search(match[1])
        return Ended(rank=int(rank[1]) if rank else None, code=int(match[2]), finished=finished)
    if match := _ACCELERATE_END.search(text):
        return Ended(code=int(match[1]) if match[1] else -int(match[2]), finished=finished)
    return Ended(finished=finished)


def stamp_of(line: str) -> float | None:
    """The time that a line names, in seconds: since 1970, or within a leap year where no year is named."""
    if match := _DATED.search(line):
        return _seconds(f"{match[1]} {match[2]}", match[3])
    if match := _GLOG.search(line):
        return _seconds(f"1972-{match[1]}-{match[2]} {match[3]}", match[4])
    return None


def _seconds(moment: str, fraction: str | None) -> float | None:
    try:
        whole = (datetime.fromisoformat(moment) - datetime(1970, 1, 1)).total_seconds()
    except ValueError:
        return None
    return whole + float(f"0.{fraction or 0}")


def _voices_of(log: Log, number: int) -> Iterator[Voice]:
    spoken: dict[int | None, tuple[list[str], list[str], list[int]]] = {}
    shown = (part for line in plain(log.text).split("\n") for part in _parts(line.rstrip()))
    for index, source in enumerate(shown):
        line = as_written(source)
        match = _PREFIX.match(line)
        rank = log.rank if match is None else int(match[1])
        lines, sources, numbers = spoken.setdefault(rank, ([], [], []))
        lines.append(line if match is None else line[match.end() :])
        sources.append(source)
        numbers.append(index)
    for rank, (lines, sources, numbers) in spoken.items():
        yield Voice(
            rank=rank,
            log=number,
            lines=tuple(lines),
            sources=tuple(sources),
            numbers=tuple(numbers),
            moment=log.moment,
        )


def _parts(line: str) -> list[str]:
    """What a line holds: of a progress bar its last state, and what was written behind it."""
    if "\r" not in line and "%|" not in line:
        return [line]
    parts = _BEHIND_A_BAR.sub(r"\1\r", line).split("\r")
    bars = [_ONLY_A_BAR.search(part) is not None for part in parts]
    return [
        part
        for part, bar, then in zip(parts, bars, [*bars[1:], False], strict=True)
        if part.strip() and not (bar and then)
    ] or [""]
