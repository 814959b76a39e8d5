"""The output folder before a run: may it be written to, and does it hold what must not be overwritten?"""

from __future__ import annotations

import os
import shlex
import tempfile
from pathlib import Path

import psutil

from tunekit.backends.processes import is_alive
from tunekit.launcher.checkpoints import SEAL
from tunekit.launcher.environment import RUN_VARIABLE
from tunekit.launcher.json_lines import read_record
from tunekit.launcher.run_dir import RunDir
from tunekit.launcher.state import holds_work, is_run, read_status


def output_fault(run_dir: RunDir, *, resumes: bool = False) -> str | None:
    """Why the output folder cannot be used, with what to type; None when it can.

    A folder in which no rank was ever started may be used again: what lies there is kept as `attempt_N`.
    """
    return held_fault(run_dir, resumes=resumes) or _unwritable(run_dir.path)


def held_fault(run_dir: RunDir, *, resumes: bool = False) -> str | None:
    """What lies there and must not be overwritten, with what to type; None where nothing does. Tries no writing."""
    if goes_on(run_dir):
        return going_on(run_dir)
    try:
        return None if resumes else _occupied(run_dir)
    except OSError as error:
        # A name that is too long, a folder that may not be read.
        return f"output.dir {run_dir.path}: {error.strerror}; set output.dir to a folder of your own."


def goes_on(run_dir: RunDir) -> bool:
    """Whether any process of the run lives; those that launch.sh started have no record, but carry the run's mark."""
    return is_alive(run_dir) or any(_carries_mark(process, str(run_dir.path)) for process in psutil.process_iter())


def going_on(run_dir: RunDir) -> str:
    """What is said of a folder whose processes live."""
    if not is_alive(run_dir):
        return f"{run_dir.path} holds a run that is going on, started by hand; Ctrl-C in its terminal ends it."
    path = shlex.quote(str(run_dir.path))
    ways = f"`tunekit logs -f {path}` shows it, `tunekit stop {path}` ends it."
    return f"{run_dir.path} holds a run that is going on; {ways}"


def what_it_holds(run_dir: RunDir) -> str:
    """`holds a run (stopped, step 7 of 90, no checkpoint to go on from)`."""
    status = read_status(run_dir, alive=False)
    facts: list[str] = [status.state]
    if status.step:
        facts.append(f"step {status.step} of {status.max_steps}")
    if status.state != "done" and not can_go_on(run_dir):
        facts.append("no checkpoint to go on from")
    return f"holds a run ({', '.join(facts)})"


def can_go_on(run_dir: RunDir) -> bool:
    """Whether `resume` has a checkpoint to start from."""
    return any(run_dir.checkpoints.glob(f"checkpoint-*/{SEAL}"))


def going_on_with_it(run_dir: RunDir) -> tuple[str, ...]:
    """What to type to go on with a run that has ended; () where it is done or has nothing to go on from."""
    ended = read_status(run_dir, alive=False).state != "done" and can_go_on(run_dir)
    return (f"to go on with it type `tunekit resume {shlex.quote(str(run_dir.path))}`",) if ended else ()


def command_anew(run_dir: RunDir) -> str:
    """The command that runs what a run directory holds into another folder, as it was started."""
    trust = str((read_record(run_dir.plan) or {}).get("trust", "both"))
    overruled = [] if trust == "both" else ["--trust", trust]
    other = f"output.dir={free_name(run_dir.path)}"
    return shlex.join(["tunekit", "launch", str(run_dir.resolved_recipe), other, *overruled])


def free_name(path: Path) -> Path:
    """The folder's name with the first number behind it that nothing has, as a person would type it."""
    number = 2
    # The root of the file system has no name to put a number behind.
    path = path if path.name else Path("runs/run").absolute()
    while os.path.lexists(candidate := path.with_name(f"{path.name}-{number}")):
        number += 1
    return candidate.relative_to(Path.cwd()) if candidate.is_relative_to(Path.cwd()) else candidate


def write_fault(path: Path) -> str | None:
    """`PARENT cannot be written (reason)`, where the nearest folder that exists cannot be; else None."""
    parent = nearest_existing(path)
    if not parent.is_dir():
        return f"{parent} is a file"
    try:
        with tempfile.TemporaryFile(dir=parent):
            return None
    except OSError as error:
        return f"{parent} cannot be written ({error.strerror})"


def nearest_existing(path: Path) -> Path:
    """The path itself, or the first of its parents that is there. Never an error, whatever may not be read."""
    return next(parent for parent in (path, *path.absolute().parents) if os.path.exists(parent))


def _carries_mark(process: psutil.Process, mark: str) -> bool:
    try:
        marked = process.pid != os.getpid() and process.environ().get(RUN_VARIABLE) == mark
        return marked and process.status() != psutil.STATUS_ZOMBIE
    except psutil.Error:
        return False


def _occupied(run_dir: RunDir) -> str | None:
    path = run_dir.path
    if not _is_there(path) or (path.is_dir() and not any(path.iterdir())):
        return None
    other = f"for a new run set {shlex.quote(f'output.dir={free_name(path)}')}"
    if not path.exists():
        return f"output.dir {path} is a link to {path.readlink()}, which is not there; {other}."
    if not path.is_dir():
        return f"output.dir {path} is a file; {other}."
    if not is_run(run_dir):
        return f"output.dir {path} is not empty and is not a run of tunekit; nothing in it is overwritten: {other}."
    if not _was_started(run_dir):
        return None
    ways = "; ".join([*going_on_with_it(run_dir), other])
    return f"output.dir {path} already {what_it_holds(run_dir)}; nothing in it is overwritten: {ways}."


def _is_there(path: Path) -> bool:
    """Unlike Path.exists and os.path.lexists: a link to nothing is there, and an impossible name is an error."""
    try:
        path.lstat()
    except (FileNotFoundError, NotADirectoryError):
        return False
    return True


def _was_started(run_dir: RunDir) -> bool:
    """Whether deepspeed was ever started here, so that ranks may have left something."""
    logs = (run_dir.launcher_log, *run_dir.path.glob(f"attempt_*/logs/{run_dir.launcher_log.name}"))
    return holds_work(run_dir) or run_dir.events.exists() or any(log.exists() for log in logs)


def _unwritable(path: Path) -> str | None:
    fault = write_fault(path)
    return None if fault is None else f"output.dir {path}: {fault}; set output.dir to a folder of your own."
