"""What went wrong, from the logs of any launcher: deepspeed, accelerate, torchrun; one file or one per rank.

Order of trust: the kernel, how a process ended, the earliest traceback that is no consequence, what ranks say of each
other; never what destructors say.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from tunekit.diagnosis.cause import Cause, find_cause, is_consequence
from tunekit.diagnosis.phases import moment_of, phase_at, phase_of
from tunekit.diagnosis.reading import Ended, Log, Voice, how_it_ended, voices
from tunekit.diagnosis.signature import Fault, Hit
from tunekit.diagnosis.signatures.memory import GPU_MEMORY, HOST_USE
from tunekit.diagnosis.signatures.starting import EXIT_CODE
from tunekit.diagnosis.signatures.stepping import NOT_A_NUMBER
from tunekit.diagnosis.signatures.table import hits_in, recognise, recognised_as
from tunekit.diagnosis.tracebacks import last_lines, native_crash, tracebacks
from tunekit.diagnosis.unknown import cure_of
from tunekit.diagnosis.wording import said_for

_LAUNCHERS_OWN = ("ChildFailedError", "subprocess.CalledProcessError", "SignalException")
"""Errors that launchers raise because a rank has failed."""
MESSAGE_LINES = 30
_BUILDING = "ninja"
"""In a CalledProcessError it is a compiler's failure, which is a rank's own."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Diagnosis:
    """What logs tell of a failure. `known`: a signature of the table names the cause.

    `lines`: the last lines of what the first failing rank said. `others`: what is only a consequence, or worth a word.
    """

    failed: bool
    known: bool = False
    name: str = ""
    rank: int | None = None
    phase: str | None = None
    moment: str = ""
    cause: str = ""
    lines: tuple[str, ...] = ()
    cure: str = ""
    source: str = ""
    fault: Fault | None = None
    others: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Said:
    """A traceback: whose, where, and when as far as its log says."""

    rank: int | None
    voice: Voice
    line: int
    text: str
    stamp: float | None

    @property
    def cause(self) -> Cause:
        """Its last lines, as a possible cause."""
        return Cause(rank=self.rank, lines=last_lines(self.text))

    @property
    def with_what_follows(self) -> str:
        """It and the lines behind it: a message of several lines, errors that were raised from it."""
        start = self.voice.numbers.index(self.line)
        return "\n".join(self.voice.lines[start : start + self.text.count("\n") + 1 + MESSAGE_LINES])


def diagnose(logs: Sequence[Log]) -> Diagnosis:
    """The first cause in these logs, or that they tell of none."""
    spoken = voices(logs)
    whole = "\n".join(voice.text for voice in spoken)
    ended, said = how_it_ended("\n".join(log.text for log in logs)), in_order(list(_said(spoken)))
    kernel = recognised_as(whole, "kernel")
    if ended.finished and ended.code is None and kernel is None:
        return _healthy(whole, said)
    cause = find_cause(
        [each.cause for each in said],
        world_size=len({voice.rank for voice in spoken} - {None}),
        gone_first=ended.rank,
        by_signal=ended.signal is not None and recognised_as(f"exitcode: {ended.code}", "exit") is not None,
    )
    hit = kernel or _hit_of(cause, ended, said, whole)
    if hit is None and ended.code is None and not cause.lines:
        return _healthy(whole, said)
    found = _told(cause, hit, said, spoken, whole)
    return replace(found, rank=ended.rank) if found.rank is None else found


def in_order(said: list[Said]) -> list[Said]:
    """By the times that they name, if all name one of the same kind; else by when their logs ended; else as given."""
    if all(each.stamp is not None for each in said):
        return sorted(said, key=lambda each: each.stamp or 0.0)
    if all(each.voice.moment is not None for each in said):
        return sorted(said, key=lambda each: (each.voice.moment or 0.0, each.voice.log, each.line))
    return sorted(said, key=lambda each: (each.voice.log, each.line))


def _said(spoken: Sequence[Voice]) -> Iterator[Said]:
    for voice in spoken:
        found = [each for each in tracebacks(voice.text) if not each.ignored]
        own = [each for each in found if not _is_launchers(each.text)]
        for each in own:
            index = voice.line_at(each.place)
            yield Said(
                rank=voice.rank,
                voice=voice,
                line=voice.numbers[index],
                text=each.text,
                stamp=voice.written_at(index),
            )
        crash = None if found else native_crash(voice.text)
        if crash is not None:
            yield Said(rank=voice.rank, voice=voice, line=voice.numbers[-1], text=crash, stamp=None)


def _is_launchers(traceback: str) -> bool:
    last = traceback.rpartition("\n")[2]
    return any(name in last for name in _LAUNCHERS_OWN) and _BUILDING not in last


def _hit_of(cause: Cause, ended: Ended, said: Sequence[Said], whole: str) -> Hit | None:
    """What the cause is called: by how it ended, by its own words, else by what the logs say anywhere."""
    by_end = recognise(f"exitcode: {ended.code}", within=whole)
    if by_end is not None and (cause.silent or by_end.signature.trust == "exit"):
        return by_end
    if cause.silent:
        return recognised_as(whole, "collective")
    if cause.lines:
        own = next((each for each in said if each.cause == cause), None)
        hit = recognise("\n".join(cause.lines), within=whole)
        return hit if hit is not None or own is None else recognised_as(own.with_what_follows, "error", within=whole)
    return recognise("\n".join(line for line in whole.split("\n") if "WARNING" not in line), within=whole)


def _told(cause: Cause, hit: Hit | None, said: Sequence[Said], spoken: Sequence[Voice], whole: str) -> Diagnosis:
    own = next((each for each in said if each.cause == cause), None)
    before = _before(own, cause, spoken) or whole
    moment = None if own is None else moment_of(own.text)
    full = hit is not None and hit.signature is GPU_MEMORY and moment is not None and moment.saver
    phase = phase_at(before, moment)
    more = moment is not None and not (moment.whole and phase == moment.phase)
    last = cause.lines[-1] if cause.lines else EXIT_CODE.cause
    return Diagnosis(
        failed=True,
        known=hit is not None,
        name=hit.signature.name if hit else "",
        rank=cause.rank,
        phase=phase,
        moment=moment.words if moment and more else "",
        cause=hit.cause if hit else last,
        lines=cause.lines,
        cure=said_for(moment.saver if full and moment else hit.cure if hit else _cure_of(own), own=False),
        source=hit.signature.source if hit else "",
        fault=hit.signature.fault if hit else None,
        others=tuple(_others(cause, hit, said, whole)),
    )


def _cure_of(own: Said | None) -> str:
    """Of a cause that is not known: where to look."""
    return EXIT_CODE.cure if own is None else cure_of(own.text) or EXIT_CODE.cure


def _before(own: Said | None, cause: Cause, spoken: Sequence[Voice]) -> str:
    """What the failing rank wrote up to its failure; where its log says little, what the first rank did."""
    if own is not None:
        lines = zip(own.voice.lines, own.voice.numbers, strict=True)
        text = "\n".join(line for line, number in lines if number < own.line)
        return text if phase_of(text) else ""
    texts = [voice.text for voice in spoken if voice.rank == cause.rank]
    return "\n".join(texts) if any(map(phase_of, texts)) else ""


def _others(cause: Cause, hit: Hit | None, said: Sequence[Said], whole: str) -> Iterator[str]:
    for each in said:
        if each.cause != cause:
            kind = "only a consequence" if is_consequence(each.cause) or each.rank != cause.rank else "later"
            who = "a later traceback" if each.rank is None else f"rank {each.rank}"
            yield f"{who}: {each.cause.lines[-1]} ({kind})"
    if hit is not None and hit.signature.signal == 9:
        yield from (use.cause for use in list(HOST_USE.hits(whole))[-1:])
    yield from _remarks(whole)


def _remarks(whole: str) -> Iterator[str]:
    seen: set[str] = set()
    for hit in hits_in(whole, "remark"):
        if hit.signature.name not in seen:
            seen.add(hit.signature.name)
            yield f"{hit.cause}: {said_for(hit.cure, own=False)}"


def _healthy(whole: str, said: Sequence[Said]) -> Diagnosis:
    """Nothing failed; what is worth a word all the same."""
    passed = (f"a traceback that ended nothing: {each.cause.lines[-1]}" for each in said)
    lost = (f"{hit.cause}: {said_for(hit.cure, own=False)}" for hit in list(NOT_A_NUMBER.hits(whole))[:1])
    return Diagnosis(failed=False, phase=phase_of(whole), others=(*passed, *lost, *_remarks(whole)))
