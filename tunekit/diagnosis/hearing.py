"""What logs say in tracebacks: whose each is, where and when; of very many the first and the last."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

from tunekit.diagnosis.cause import Cause
from tunekit.diagnosis.reading import Log, Voice, voices
from tunekit.diagnosis.tracebacks import Traceback, last_lines, native_crash, tracebacks

MOST_SAID = 100
"""Tracebacks of a voice that are looked at from its beginning, and as many from its end."""
MESSAGE_LINES = 30
_LAUNCHERS_OWN = ("ChildFailedError", "subprocess.CalledProcessError", "SignalException")
"""Errors that launchers raise because a rank has failed."""
_BUILDING = "ninja"
"""In a CalledProcessError it is a compiler's failure, which is a rank's own."""


@dataclass(frozen=True, kw_only=True)
class Said:
    """A traceback: whose, where (`index` of the voice's lines), and when as far as its log says."""

    voice: Voice
    index: int
    text: str
    stamp: float | None = None

    @property
    def rank(self) -> int | None:
        """Whose it is."""
        return self.voice.rank

    @property
    def line(self) -> int:
        """The number of its first line in the log."""
        return self.voice.numbers[self.index]

    @cached_property
    def cause(self) -> Cause:
        """Its last lines, as a possible cause."""
        return Cause(rank=self.rank, lines=last_lines(self.text))

    @property
    def with_what_follows(self) -> str:
        """It and the lines behind it: a message of several lines, errors that were raised from it."""
        return "\n".join(self.voice.lines[self.index : self.index + self.text.count("\n") + 1 + MESSAGE_LINES])

    @property
    def before(self) -> str:
        """What the same voice said up to it."""
        return "\n".join(self.voice.lines[: self.index])


@dataclass(frozen=True, kw_only=True)
class Heard:
    """All that logs say. `said`: the tracebacks in order; `left_out`: how many more there are."""

    spoken: tuple[Voice, ...]
    said: tuple[Said, ...]
    left_out: int = 0

    @cached_property
    def whole(self) -> str:
        """Every line, voice by voice."""
        return "\n".join(voice.text for voice in self.spoken)

    @cached_property
    def believed(self) -> str:
        """The same without the tracebacks that ended nothing."""
        return "\n".join(part for voice in self.spoken for part in _without_ignored(voice.text))


def hear(logs: Sequence[Log]) -> Heard:
    """Read logs of one job."""
    spoken = tuple(voices(logs))
    told = [_said(voice) for voice in spoken]
    said = in_order([each for found, _ in told for each in found])
    return Heard(spoken=spoken, said=tuple(said), left_out=sum(left_out for _, left_out in told))


def in_order(said: list[Said]) -> list[Said]:
    """By the times that they name, if all name one of the same kind; else by when their logs ended; else as given."""
    if all(each.stamp is not None for each in said):
        return sorted(said, key=lambda each: each.stamp or 0.0)
    if all(each.voice.moment is not None for each in said):
        return sorted(said, key=lambda each: (each.voice.moment or 0.0, each.voice.log, each.line))
    return sorted(said, key=lambda each: (each.voice.log, each.line))


def _said(voice: Voice) -> tuple[list[Said], int]:
    found = [each for each in tracebacks(voice.text) if not each.ignored]
    if not found:
        crash = native_crash(voice.text)
        return ([Said(voice=voice, index=len(voice.lines) - 1, text=crash)] if crash is not None else []), 0
    own = [each for each in found if not _is_launchers(each.text)]
    looked_at = own if len(own) <= 2 * MOST_SAID else [*own[:MOST_SAID], *own[-MOST_SAID:]]
    return list(_dated(voice, looked_at)), len(own) - len(looked_at)


def _without_ignored(text: str) -> Iterator[str]:
    place = 0
    for each in tracebacks(text):
        if each.ignored:
            yield text[place : each.place]
            place = each.place + len(each.text)
    yield text[place:]


def _dated(voice: Voice, found: Sequence[Traceback]) -> Iterator[Said]:
    indexes = [voice.line_at(each.place) for each in found]
    for each, index, stamp in zip(found, indexes, voice.written_at(indexes), strict=True):
        yield Said(voice=voice, index=index, text=each.text, stamp=stamp)


def _is_launchers(traceback: str) -> bool:
    last = traceback.rpartition("\n")[2]
    return any(name in last for name in _LAUNCHERS_OWN) and _BUILDING not in last
