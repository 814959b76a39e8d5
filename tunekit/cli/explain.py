"""`tunekit explain`: what went wrong in a run of tunekit, or in a job whose logs are there; and what mends it."""

from __future__ import annotations

import json as jsonlib
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from shlex import quote

import typer
from rich.console import Console

from tunekit.diagnosis.diagnose import diagnose
from tunekit.diagnosis.reading import Log
from tunekit.errors import UsageError
from tunekit.launcher.run_dir import RUNS, RunDir
from tunekit.launcher.state import archived_attempt, is_run
from tunekit.render.diagnosis_text import Explanation, explain_logs, explanation_json, print_explanation
from tunekit.render.summary import short_path
from tunekit.run import Run

STDIN = "-"
NOT_KNOWN = 1
"""Exit code where a failure was found and no signature names its cause."""
_HEAD_BYTES, _TAIL_BYTES = 8 << 20, 32 << 20
"""What is read of a log that is larger: compilers fail at the beginning, ranks at the end."""
_LOOKED_AT = 8192
"""Characters of a log that tell whether it is text."""


def explain(names: Sequence[str], *, json: bool) -> None:
    """Print why a run, or the job that wrote these logs, failed. Exits with 1 where no cause is known.

    UsageError: there is no such run or file, or it cannot be read; in JSON it is printed as `error` too.
    """
    try:
        told = _told(names)
    except UsageError as error:
        if json:
            typer.echo(jsonlib.dumps({"error": str(error)}, indent=2))
        raise
    if json:
        typer.echo(jsonlib.dumps(explanation_json(told), indent=2))
    else:
        print_explanation(Console(highlight=False), told)
    if told.failed and not told.known:
        raise typer.Exit(NOT_KNOWN)


def _told(names: Sequence[str]) -> Explanation:
    runs = [name for name in names if _names_a_run(name) or _archived(name)]
    if runs and len(names) > 1:
        raise UsageError(_one_at_a_time(runs, [name for name in names if name not in runs]))
    if not runs:
        logs = _written([log for name in names for log in _logs(name)])
        return explain_logs(diagnose(logs), [log.name for log in logs])
    attempt = _archived(names[0])
    return Run(names[0]).explain() if attempt is None else Run(attempt[0].path).explain_attempt(attempt[1])


def _one_at_a_time(runs: Sequence[str], logs: Sequence[str]) -> str:
    """Why these are not explained together, and what to type for each."""
    either = [f"`tunekit explain {quote(run)}`" for run in dict.fromkeys(runs)]
    if not logs:
        return f"one run is explained at a time, and {len(runs)} are named: {' or '.join(either)}."
    what, single = ("is a run", True) if len(runs) == 1 else ("are runs", False)
    alone = f"{'it is' if single else 'each is'} explained from its own files, never together with loose logs"
    either.append(f"`tunekit explain {' '.join(map(quote, logs))}`")
    return f"{', '.join(runs)} {what}: {alone}. Type {' or '.join(either)}."


def _written(logs: list[Log]) -> list[Log]:
    """Those that hold text. UsageError: none does."""
    found = [log for log in logs if log.text.strip() and not _is_binary(log.text)]
    if not found:
        what = "no text" if any(log.text.strip() for log in logs) else "empty"
        which = ", ".join(log.name for log in logs)
        raise UsageError(f"{which}: {what}, so there is nothing to explain; give a run, or the logs of a job.")
    return found


def _is_binary(text: str) -> bool:
    """Whether it is no text: a tenth of the beginning is no character."""
    head = text[:_LOOKED_AT]
    return sum(head.count(sign) for sign in "\0\ufffd") * 10 > len(head)


def _names_a_run(name: str) -> bool:
    paths = (Path(name).expanduser(), RUNS / name)
    return any(is_run(RunDir(path)) and _archived(str(path)) is None for path in paths)


def _archived(name: str) -> tuple[RunDir, int] | None:
    """The run and the number of the attempt that a folder keeps, if it keeps one."""
    return archived_attempt(RunDir(Path(name).expanduser().absolute()))


def _logs(name: str) -> Iterator[Log]:
    """The log of this name; of a folder, every .log and .txt below it."""
    if name == STDIN:
        yield Log(name="standard input", text=sys.stdin.buffer.read().decode(errors="replace"))
        return
    path = Path(name).expanduser()
    _refuse_several_runs(path)
    files = sorted(file for file in path.rglob("*") if file.suffix in (".log", ".txt")) if path.is_dir() else [path]
    if not files:
        raise UsageError(
            f"{name} is neither a run nor a folder with .log or .txt files; `tunekit runs` lists the runs."
        )
    for file in files:
        yield _read(file)


def _refuse_several_runs(folder: Path) -> None:
    """UsageError: the folder holds more than one run, whose logs tell of nothing in common."""
    inside = sorted(folder.iterdir()) if folder.is_dir() else []
    runs = [short_path(path) for path in inside if is_run(RunDir(path))]
    if len(runs) > 1:
        raise UsageError(f"{folder} is no run, and holds the logs of {len(runs)}: name one of {', '.join(runs)}.")


def _read(path: Path) -> Log:
    try:
        stat = path.stat()
        with path.open("rb") as file:
            text = file.read(_HEAD_BYTES)
            if stat.st_size > _HEAD_BYTES + _TAIL_BYTES:
                file.seek(-_TAIL_BYTES, 2)
            text += file.read()
    except OSError as error:
        nearest = "" if path.exists() else "; `tunekit runs` lists the runs"
        raise UsageError(f"{path}: {error.strerror}{nearest}.") from error
    return Log(name=str(path), text=text.decode(errors="replace"), moment=stat.st_mtime)
