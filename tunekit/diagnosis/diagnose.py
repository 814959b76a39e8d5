"""What went wrong, from the logs of any launcher: deepspeed, accelerate, torchrun; one file or one per rank.

Order of trust: the kernel, how a process ended, the earliest traceback that is no consequence, what ranks say of each
other; never what destructors say.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import islice

from tunekit.diagnosis.cause import Cause, find_cause, is_consequence
from tunekit.diagnosis.hearing import MOST_SAID, Heard, Said, hear
from tunekit.diagnosis.own_words import is_told
from tunekit.diagnosis.phases import moment_of, phase_at, phase_of
from tunekit.diagnosis.reading import Ended, Log, Voice, how_it_ended
from tunekit.diagnosis.signature import Fault, Hit
from tunekit.diagnosis.signatures.memory import GPU_MEMORY, HOST_USE
from tunekit.diagnosis.signatures.starting import EXIT_CODE
from tunekit.diagnosis.signatures.stepping import NOT_A_NUMBER
from tunekit.diagnosis.signatures.table import hits_in, recognise, recognised_as
from tunekit.diagnosis.unknown import cure_of
from tunekit.diagnosis.wording import said_for

MOST_OTHERS = 8
"""Tracebacks beside the cause that are told."""


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


def diagnose(logs: Sequence[Log]) -> Diagnosis:
    """The first cause in these logs, or that they tell of none."""
    heard = hear(logs)
    ended = how_it_ended(heard.whole)
    kernel = recognised_as(heard.whole, "kernel", told=is_told)
    if ended.finished and ended.code is None and kernel is None:
        return _healthy(heard)
    cause = find_cause(
        [each.cause for each in heard.said],
        world_size=len({voice.rank for voice in heard.spoken} - {None}),
        gone_first=ended.rank,
        by_signal=ended.signal is not None and recognised_as(f"exitcode: {ended.code}", "exit") is not None,
    )
    hit = kernel or _hit_of(cause, ended, heard)
    if hit is None and ended.code is None and not cause.lines:
        return _healthy(heard)
    found = _told(cause, hit, heard)
    return replace(found, rank=ended.rank) if found.rank is None else found


def _own(cause: Cause, heard: Heard) -> Said | None:
    """The traceback that is the cause."""
    return next((each for each in heard.said if each.cause == cause), None)


def _hit_of(cause: Cause, ended: Ended, heard: Heard) -> Hit | None:
    """What the cause is called: by how it ended, by its own words, else by what the logs say anywhere."""
    whole = heard.whole
    by_end = recognise(f"exitcode: {ended.code}", within=whole)
    if by_end is not None and (cause.silent or by_end.signature.trust == "exit"):
        return by_end
    if cause.silent:
        return recognised_as(whole, "collective")
    if cause.lines:
        own = _own(cause, heard)
        hit = recognise("\n".join(cause.lines), within=whole)
        return hit if hit is not None or own is None else recognised_as(own.with_what_follows, "error", within=whole)
    return recognise(heard.believed, within=whole, told=partial(is_told, failed=ended.code is not None))


def _told(cause: Cause, hit: Hit | None, heard: Heard) -> Diagnosis:
    own = _own(cause, heard)
    before = _before(own, cause, heard.spoken) or heard.whole
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
        others=tuple(_others(cause, hit, heard)),
    )


def _cure_of(own: Said | None) -> str:
    """Of a cause that is not known: where to look."""
    return EXIT_CODE.cure if own is None else cure_of(own.text) or EXIT_CODE.cure


def _before(own: Said | None, cause: Cause, spoken: Sequence[Voice]) -> str:
    """What the failing rank wrote up to its failure; where its log says little, what the first rank did."""
    if own is not None:
        return own.before if phase_of(own.before) else ""
    texts = [voice.text for voice in spoken if voice.rank == cause.rank]
    return "\n".join(texts) if any(map(phase_of, texts)) else ""


def _others(cause: Cause, hit: Hit | None, heard: Heard) -> Iterator[str]:
    yield from _some([_beside(each, cause) for each in heard.said if each.cause != cause], heard.left_out)
    if hit is not None and hit.signature.signal == 9:
        yield from (use.cause for use in list(HOST_USE.hits(heard.whole))[-1:])
    yield from _remarks(heard.whole)


def _beside(each: Said, cause: Cause) -> str:
    kind = "only a consequence" if is_consequence(each.cause) or each.rank != cause.rank else "later"
    who = "a later traceback" if each.rank is None else f"rank {each.rank}"
    return f"{who}: {each.cause.lines[-1]} ({kind})"


def _some(told: Sequence[str], left_out: int) -> Iterator[str]:
    """The first of what tracebacks say, each once, and how many more there are."""
    once = list(dict.fromkeys(told))
    yield from once[:MOST_OTHERS]
    if len(once) > MOST_OTHERS:
        yield f"{len(once) - MOST_OTHERS} more tracebacks, each with other words"
    if left_out:
        looked_at = f"of each rank the first {MOST_SAID} and the last {MOST_SAID} were looked at"
        yield f"{left_out} tracebacks in between were left out: {looked_at}"


def _remarks(whole: str) -> Iterator[str]:
    seen: set[str] = set()
    for hit in hits_in(whole, "remark"):
        if hit.signature.name not in seen:
            seen.add(hit.signature.name)
            yield f"{hit.cause}: {said_for(hit.cure, own=False)}"


def _healthy(heard: Heard) -> Diagnosis:
    """Nothing failed; what is worth a word all the same."""
    passed = _some([f"a traceback that ended nothing: {each.cause.lines[-1]}" for each in heard.said], heard.left_out)
    unsound = (hit for hit in NOT_A_NUMBER.hits(heard.whole) if is_told(hit, heard.whole))
    lost = (f"{hit.cause}: {said_for(hit.cure, own=False)}" for hit in islice(unsound, 1))
    return Diagnosis(failed=False, phase=phase_of(heard.whole), others=(*passed, *lost, *_remarks(heard.whole)))
