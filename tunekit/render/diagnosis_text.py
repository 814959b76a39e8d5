"""A failure explained: where, the first cause, what was planned and seen, what mends it, and what to type to go on."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from textwrap import shorten
from typing import Any

from rich.console import Console
from rich.text import Text

from tunekit.backends.output import command_anew
from tunekit.diagnosis.cleaning import plain
from tunekit.diagnosis.diagnose import Diagnosis
from tunekit.diagnosis.phases import moment_of
from tunekit.diagnosis.signatures.table import recognise
from tunekit.errors import RecipeError
from tunekit.launcher.attempts import all_metrics
from tunekit.launcher.json_lines import read_record
from tunekit.launcher.outcome import RunResult
from tunekit.launcher.resuming import refuse_changes
from tunekit.launcher.run_dir import RunDir
from tunekit.launcher.state import RunStatus
from tunekit.launcher.stop_request import StopAsked, read_stop_request
from tunekit.planner.mending import Mend
from tunekit.planner.plan import Plan
from tunekit.render.live import PHASE_WORDS
from tunekit.render.summary import seen_peaks, short_path
from tunekit.units import format_bytes

CONSEQUENCE_CHARACTERS = 120
"""Of what a rank says of another's end."""
_CHECK = "`tunekit plan RECIPE` counts such a job's memory before it starts, and tries changes: key=value"
_PLACES = {"GPU": "GPU", "host": "host RAM"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Explanation:
    """What is known of a failure. `known`: a signature of the table names its cause.

    `memory`: planned beside seen, a sentence per place. `also`: consequences, and what is worth a word. `next`:
    commands.
    """

    failed: bool
    known: bool
    source: str
    signature: str = ""
    rank: int | None = None
    phase: str | None = None
    moment: str = ""
    lines: tuple[str, ...] = ()
    reading: str = ""
    cause: str = ""
    memory: tuple[str, ...] = ()
    also: tuple[str, ...] = ()
    logs: tuple[str, ...] = ()
    cure: str = ""
    mends: tuple[Mend, ...] = ()
    check: str = ""
    next: tuple[str, ...] = ()


def explain_result(result: RunResult, run_dir: RunDir, plan: Plan, *, resumable_step: int | None) -> Explanation:
    """A failed run of tunekit, told from its directory."""
    record = read_record(run_dir.failure) or {}
    moment = moment_of(str(record.get("traceback", ""))) if record.get("rank") == result.failing_rank else None
    hit = (
        None if result.signature else recognise(plain("\n".join(result.cause)))
    )  # a preparation that failed is not judged
    return Explanation(
        failed=True,
        known=bool(result.signature or hit),
        source=short_path(run_dir.path),
        signature=hit.signature.name if hit else result.signature,
        rank=result.failing_rank,
        phase=result.phase,
        moment=moment.words if moment is not None and result.phase in ("train", "rehearsal") else "",
        lines=tuple(map(plain, result.cause)),
        reading=result.reading,
        cause=hit.cause if hit else result.said,
        memory=tuple(_memory(run_dir, plan)) if result.fault or result.signal else (),
        also=tuple(_consequence(record)),
        logs=tuple(_logs(result, run_dir, plan.job.batch.world_size)),
        cure="" if result.mends else result.advice or (hit.cure if hit else ""),
        mends=result.mends,
        next=tuple(_commands(result, run_dir, resumable_step)),
    )


def explain_state(
    status: RunStatus, run_dir: RunDir, *, chapters: Sequence[str] = (), resumable_step: int | None
) -> Explanation:
    """A run that has not failed: who stopped it, if anybody did, its attempts, and how it goes on."""
    where = short_path(run_dir.path)
    asked = read_stop_request(run_dir) if status.state == "stopped" else StopAsked()
    doing = f" ({PHASE_WORDS.get(status.phase, status.phase)})" if status.state == "running" and status.phase else ""
    on = status.state == "stopped" and resumable_step is not None
    return Explanation(
        failed=False,
        known=True,
        source=where,
        phase=status.phase,
        cause=f"{where} was stopped: {asked.reason}"
        if asked.reason
        else f"{where} has not failed: {status.state}{doing}",
        also=tuple(chapters),
        cure=asked.todo,
        next=(f"tunekit resume {shlex.quote(where)} (from step {resumable_step})",) if on else (),
    )


def explain_archived(
    told: Explanation, chapters: Sequence[str], parent: Path, resumable_step: int | None
) -> Explanation:
    """An attempt that another one followed: the attempts of the run, and that it goes on as a whole, if it can."""
    where = shlex.quote(short_path(parent))
    on = (
        f"tunekit resume {where} (from step {resumable_step})"
        if resumable_step is not None
        else f"tunekit status {where}"
    )
    return replace(told, also=(*told.also, *chapters), next=(on,))


def explain_logs(diagnosis: Diagnosis, names: Sequence[str]) -> Explanation:
    """Logs of a job that somebody else started."""
    return Explanation(
        failed=diagnosis.failed,
        known=diagnosis.known,
        source=", ".join(names),
        signature=diagnosis.name,
        rank=diagnosis.rank,
        phase=diagnosis.phase,
        moment=diagnosis.moment,
        lines=diagnosis.lines,
        cause=diagnosis.cause if diagnosis.known or not diagnosis.lines else "",
        also=diagnosis.others,
        cure=diagnosis.cure,
        check=_CHECK if diagnosis.fault else "",
    )


def explanation_text(told: Explanation) -> str:
    """All of it as lines of text."""
    return "\n".join((*_told(told), *_what_next(told)))


def ending_text(told: Explanation) -> str:
    """The same without the logs and the commands, for those who show their own."""
    return "\n".join(_told(told))


def explanation_json(told: Explanation) -> dict[str, Any]:
    """The same for scripts."""
    return asdict(told)


def print_explanation(console: Console, told: Explanation) -> None:
    """Print it; lines are never cut, because paths and commands are copied."""
    console.print(Text(explanation_text(told)), soft_wrap=True)


def _told(told: Explanation) -> Iterator[str]:
    if not told.failed:
        yield from _healthy(told)
        return
    yield _where(told)
    yield from (f"  {line}" for line in told.lines)
    yield from ((f"{told.reading}.",) if told.reading else ())
    yield from ((f"Cause:  {told.cause}",) if told.cause else ())
    yield from (f"Memory: {line}" for line in told.memory)
    yield from (f"Also:   {line}" for line in told.also)
    yield from (f"{'Or:' if number else 'Try:'}{'':<{5 if number else 4}}{mend}" for number, mend in _numbered(told))
    yield from ((f"Try:    {told.cure}",) if told.cure else ())


def _what_next(told: Explanation) -> Iterator[str]:
    yield from ((f"Check:  {told.check}",) if told.check else ())
    yield from (f"Logs:   {path}" for path in told.logs)
    yield from (
        f"Go on:  {command}" if number == 0 else f"Or:     {command}" for number, command in enumerate(told.next)
    )


def _numbered(told: Explanation) -> Iterator[tuple[int, Mend]]:
    yield from enumerate(told.mends)


def _where(told: Explanation) -> str:
    """One sentence: which rank, doing what."""
    rank = "" if told.rank is None else f" on rank {told.rank}"
    phase = "" if not told.phase else f" while {PHASE_WORDS.get(told.phase, told.phase)}"
    moment = f", {told.moment}" if told.moment else ""
    return f"The run failed{rank}{phase}{moment}."


def _healthy(told: Explanation) -> Iterator[str]:
    far = "" if told.phase is None else f"; the last that it tells of is {PHASE_WORDS.get(told.phase, told.phase)}"
    yield f"{told.cause}." if told.cause else f"Nothing in {told.source} says that the job failed{far}."
    yield from (f"Also:   {line}" for line in told.also)
    yield from ((f"Try:    {told.cure}",) if told.cure else ())


def _memory(run_dir: RunDir, plan: Plan) -> Iterator[str]:
    for peak in seen_peaks(plan, all_metrics(run_dir)):
        estimate = peak.estimate
        sizes = [format_bytes(n) for n in (peak.bytes, estimate.expected_bytes, estimate.high_bytes)]
        usable = format_bytes(estimate.usable_bytes)
        yield f"{_PLACES[peak.place]} {sizes[0]} seen, {sizes[1]} planned (at most {sizes[2]}), {usable} usable"


def _consequence(record: dict[str, Any]) -> Iterator[str]:
    later = record.get("consequence")
    if isinstance(later, dict) and later.get("message"):
        last = shorten(str(later["message"]).strip().splitlines()[-1], CONSEQUENCE_CHARACTERS, placeholder=" …")
        yield f"rank {later.get('rank')}: {later.get('type')}: {last} (only a consequence)"


def _commands(result: RunResult, run_dir: RunDir, step: int | None) -> Iterator[str]:
    """What to type: with the first change that is known to fit, on from the newest checkpoint or anew."""
    where = shlex.quote(short_path(run_dir.path))
    best = result.mends[0] if result.mends else None
    if best is not None and (step is None or not _may_change(best)):
        yield f"{command_anew(run_dir)} {best.set}"
    elif best is not None:
        yield f"tunekit resume {where} {best.set} (from step {step})"
    if step is not None and (best is None or not _may_change(best)):
        yield f"tunekit resume {where} (from step {step})"


def _may_change(mend: Mend) -> bool:
    """Whether a run can go on with the change."""
    try:
        refuse_changes(mend.overrides)
    except RecipeError:
        return False
    return True


def _logs(result: RunResult, run_dir: RunDir, world_size: int) -> Iterator[str]:
    ranks = range(world_size) if result.failing_rank is None else (result.failing_rank,)
    paths: list[Path] = [*(run_dir.rank_log(rank) for rank in ranks), run_dir.launcher_log]
    there = [short_path(path) for path in paths if path.exists()]
    yield from there or [short_path(run_dir.logs)]
