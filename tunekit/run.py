"""`Run`: a run directory with its life: start, watch, stop, resume. What the command line and notebooks share."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from difflib import get_close_matches
from functools import partial
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Literal, get_args

from tunekit.backends.base import STOP_GRACE, Backend, Process, backend
from tunekit.backends.processes import (
    end_processes,
    is_alive,
    kill_processes,
    read_process,
    reap_orphans,
    watcher_is_gone,
)
from tunekit.backends.resuming import refuse_what_cannot_go_on, resumable
from tunekit.backends.retrying import Retry, next_try
from tunekit.backends.session import Start, start_run, used_devices
from tunekit.errors import DoesNotFit, RunFailed, TunekitError, UsageError
from tunekit.hardware.profiles import LOCAL
from tunekit.hardware.spec import Hardware
from tunekit.launcher.attempts import all_metrics, last_attempt
from tunekit.launcher.caller import Caller, this_caller
from tunekit.launcher.checkpoint_bytes import Proofs, bytes_fault
from tunekit.launcher.checkpoints import Checkpoint, list_checkpoints, newest_complete
from tunekit.launcher.json_lines import Record, read_record
from tunekit.launcher.logs import find_rank_log
from tunekit.launcher.outcome import Observed, RunResult, read_result, write_result
from tunekit.launcher.preflight import Machine
from tunekit.launcher.run_dir import RUNS as RUNS
from tunekit.launcher.run_dir import RunDir
from tunekit.launcher.state import RunStatus, is_run, plan_of_attempt, read_plan, read_status
from tunekit.oversight import Oversight, cards_of
from tunekit.planner.plan import Plan
from tunekit.probes.gpus import GpuReport, read_gpus, visible_gpus, visible_here
from tunekit.recipe.job import Job
from tunekit.recipe.loading import LoadedRecipe
from tunekit.render.diagnosis_text import (
    Explanation,
    explain_archived,
    explain_result,
    explain_state,
    explanation_text,
)
from tunekit.render.live import LiveView
from tunekit.render.plan_parts import rejection_text
from tunekit.render.run_report import RunReport, build_report, ending_of
from tunekit.render.summary import print_summary, resuming_text, stopped_text, told_of
from tunekit.render.watch import watch
from tunekit.source import Overrides, plan_loaded, words_of

if TYPE_CHECKING:
    from rich.console import Console

FOLLOW_SECONDS = 1.0
"""Between two looks at a run that nobody waits for."""

OnOom = Literal["stop", "retry"]
"""What follows when memory runs out: nothing, or an attempt with another plan of the same training."""


class Run:
    """A run, told by its directory. Its processes may have been started here or by anybody on this machine."""

    def __init__(self, path: str | Path, *, process: Process | None = None, oversight: Oversight | None = None) -> None:
        self.dir = find_run(str(path))
        self._process = process
        self._oversight = oversight
        self._concluding = threading.Lock()
        self._result: RunResult | None = None

    @property
    def path(self) -> Path:
        """The run directory."""
        return self.dir.path

    @property
    def plan(self) -> Plan:
        """The plan that is run. RunFailed: the folder is no longer where it was."""
        return read_plan(self.dir)

    def status(self) -> RunStatus:
        """State, step and loss now."""
        if self._process is not None and (observed := self._process.poll()) is not None:
            self.conclude(observed)
        return read_status(self.dir, alive=is_alive(self.dir), unwatched=watcher_is_gone(self.dir))

    def report(self) -> RunReport:
        """The run in detail: measured against planned, checkpoints, ending, and what to type next."""
        return build_report(self.dir, self.plan, self.status(), self.checkpoints())

    def metrics(self) -> list[Record]:
        """One record per logged step, over all attempts."""
        return all_metrics(self.dir)

    def logs(self, *, rank: int = 0) -> str:
        """The log of one rank; empty before the rank has started."""
        path = find_rank_log(self.dir, rank)
        return "" if path is None else path.read_text(errors="replace")

    def checkpoints(self) -> tuple[Checkpoint, ...]:
        """The checkpoints, newest first, each with what is wrong with it, if anything."""
        return list_checkpoints(self.dir.checkpoints)

    def wait(self, *, console: Console | None = None) -> RunResult:
        """Watch the run to its end and say how it ended; an interrupt stops it gently. Shows nothing without a console.

        RunFailed: it failed, with the first cause.
        """
        if self._result is None:
            process = self._process or _AttachedProcess(self.dir)
            with LiveView(self.dir, self.plan, console or _silent()) as view:
                self.conclude(watch(process, view))
        return self.checked()

    def follow(self) -> None:
        """Look after the run in the background until it ends, or this program does."""
        threading.Thread(target=self._follow, name="tunekit-watch", daemon=True).start()

    def _follow(self) -> None:
        process = self._process or _AttachedProcess(self.dir)
        time.sleep(FOLLOW_SECONDS)
        while (observed := process.poll()) is None:
            time.sleep(FOLLOW_SECONDS)
        with suppress(TunekitError, OSError):  # the folder may be gone by now
            self.conclude(observed)

    def stop(self) -> None:
        """Ask the ranks to save where a checkpoint is due and to end; all are gone within 10 s."""
        process = self._process or _AttachedProcess(self.dir)
        process.stop()
        self.conclude(process.poll() or Observed(exit_code=None))

    def resume(self, overrides: Overrides = (), *, wait: bool = True, console: Console | None = None) -> Run:
        """Go on from the newest complete checkpoint, as a new attempt; `overrides` are what `tunekit resume` takes.

        UsageError: there is nothing to go on from. RecipeError: a change would make it another training. DoesNotFit:
        the changed plan was rejected.
        """
        return resume(self.dir, words_of(overrides), wait=wait, console=console)

    def conclude(self, observed: Observed) -> RunResult:
        """Judge the attempt whose processes have ended, and keep the result in the run directory."""
        with self._concluding:
            if self._result is None:
                self._result = read_result(self.dir, self.plan, attempt=last_attempt(self.dir), observed=observed)
                write_result(self.dir, self._result)
                if self._oversight is not None:
                    self._oversight.ended(self._result)
            return self._result

    def checked(self) -> RunResult:
        """The result of the attempt that has ended. RunFailed: it failed, with the first cause."""
        if self.ended.state == "failed":
            raise RunFailed(explanation_text(self._explained(self.ended)))
        return self.ended

    @property
    def ended(self) -> RunResult:
        """The result of the attempt that has ended, whatever it is."""
        assert self._result is not None
        return self._result

    def explain(self) -> Explanation:
        """Why the run failed, and what mends it; that it has not failed, where it has not."""
        status = self.status()
        ending = ending_of(self.dir, self.plan, status)
        if ending is None:
            return explain_state(
                status, self.dir, chapters=self._chapters(status), resumable_step=self.resumable_step()
            )
        return self._explained(ending)

    def explain_attempt(self, number: int) -> Explanation:
        """The same of an earlier attempt, and how it went on from there. UsageError: there was no such attempt."""
        now = self.status()
        chapters = self._chapters(now)
        if not 0 < number < len(chapters):
            raise UsageError(
                f"{self.path.name} has no earlier attempt {number}; `tunekit status {self.path}` tells all."
            )
        folder, plan = RunDir(self.dir.attempt(number)), plan_of_attempt(self.dir, number)
        status = read_status(folder, alive=False)
        ending = ending_of(folder, plan, status)
        told = (
            explain_state(status, folder, resumable_step=None)
            if ending is None
            else explain_result(ending, folder, plan, resumable_step=None)
        )
        step = self.resumable_step() if now.state in ("failed", "stopped", "lost") else None
        return explain_archived(told, chapters, self.path, step)

    def _chapters(self, status: RunStatus) -> list[str]:
        """The run attempt by attempt, as its status tells it."""
        return [str(chapter) for chapter in told_of(self.dir, going=status.state in ("running", "preparing"))]

    def _explained(self, ending: RunResult) -> Explanation:
        return explain_result(ending, self.dir, self.plan, resumable_step=self.resumable_step())

    def show_result(self, console: Console) -> None:
        """Print the end of a run that is done or was stopped."""
        result = self.checked()
        if result.ok:
            print_summary(console, self.plan, result, self.dir, self.metrics())
        else:
            text = stopped_text(self.dir, resumable_step=self.resumable_step())
            console.print(text, markup=False, highlight=False, soft_wrap=True)

    def resumable_step(self) -> int | None:
        """The step of the newest complete checkpoint."""
        newest = newest_complete(self.dir.checkpoints)
        return None if newest is None else newest.step

    def __repr__(self) -> str:
        status = self.status()
        step = "" if status.step is None else f", step {status.step}/{status.max_steps or '?'}"
        loss = "" if status.loss is None else f", loss {status.loss:.4f}"
        return f"Run({str(self.path)!r}: {status.state}{step}{loss})"

    def _repr_html_(self) -> str:
        return f"<code>{escape(repr(self))}</code>"


def start(
    order: Start,
    *,
    wait: bool = True,
    console: Console | None = None,
    on: Backend | None = None,
    on_oom: OnOom = "stop",
) -> Run:
    """Start a plan on this machine; with `wait`, watch it to its end.

    `on_oom` "retry", where it waits: an attempt that ran out of memory is followed by one with the smallest change that
    is known to fit and keeps the training. DoesNotFit: the plan was rejected. UsageError, MissingError: it cannot be
    started here. RunFailed: it failed.
    """
    check_on_oom(on_oom)
    if order.plan.verdict == "rejected":
        raise DoesNotFit(rejection_text(order.plan), plan=order.plan)
    run = _start(order, this_caller(), wait=wait, console=console, on=on)
    if wait and on_oom == "retry":
        run = _retried(run, console=console, on=on)
    return _checked(run, wait=wait)


def check_on_oom(on_oom: str) -> None:
    """UsageError: `on_oom` is none of the choices."""
    if on_oom not in get_args(OnOom):
        raise UsageError(f"--on-oom {on_oom}: allowed are {', '.join(get_args(OnOom))}.")


def _retried(run: Run, *, console: Console | None, on: Backend | None) -> Run:
    """The run after as many attempts as running out of memory asks for; the last one's ending stands."""
    caller, tried, proofs = this_caller(), [run.plan.job], Proofs()
    while (retry := _next_try(run, caller, tried, proofs, console=console)) is not None:
        if console is not None:
            console.print(run.ended.said, str(retry), sep="\n", markup=False, highlight=False, soft_wrap=True)
        tried.append(retry.start.plan.job)
        run = _start(retry.start, retry.caller, wait=True, console=console, on=on)
    return run


def _next_try(
    run: Run, caller: Caller, tried: Sequence[Job], proofs: Proofs, *, console: Console | None
) -> Retry | None:
    with LiveView(run.dir, run.plan, console or _silent()) as view:
        damage = partial(proofs.fault, report=view.report)
        return next_try(run.dir, run.ended, caller, tried=tried, damage=damage)


def _checked(run: Run, *, wait: bool) -> Run:
    if wait:
        run.checked()
    return run


def resume(
    run_dir: RunDir,
    overrides: Sequence[str] = (),
    *,
    wait: bool = True,
    console: Console | None = None,
    on: Backend | None = None,
) -> Run:
    """Go on with a run from its newest complete checkpoint; `overrides` change what may be, and it is planned anew.

    UsageError: it is done, going on, or has no checkpoint. DoesNotFit: the changed plan was rejected.
    """

    def planning(loaded: LoadedRecipe) -> Plan:
        return plan_loaded(loaded, trust=read_plan(run_dir).trust)

    refuse_what_cannot_go_on(run_dir)
    with LiveView(run_dir, read_plan(run_dir), console or _silent()) as view:
        damage = partial(bytes_fault, report=view.report)
        found = resumable(run_dir, this_caller(), overrides, planning, damage=damage)
    order = found.start
    if order.replanned and order.plan.verdict == "rejected":
        raise DoesNotFit(rejection_text(order.plan), plan=order.plan)
    if console is not None:
        text = resuming_text(run_dir, found.checkpoint, found.passed_over, found.remark)
        console.print(text, markup=False, highlight=False, soft_wrap=True)
    return _checked(_start(order, found.caller, wait=wait, console=console, on=on), wait=wait)


def _start(order: Start, caller: Caller, *, wait: bool, console: Console | None, on: Backend | None) -> Run:
    machine = this_machine(order.plan.hardware, just_looked=order.resume_from is None)
    oversight = Oversight(order.plan, order.run_dir, environ=caller.environ)
    with LiveView(order.run_dir, order.plan, console or _silent()) as view:
        started = start_run(order, caller=caller, machine=machine, backend=on or backend("local"), report=view.report)
        process = oversight.over(started, cards_of(order.plan, used_devices(order.plan, caller, machine)))
        run = Run(order.run_dir.path, process=process, oversight=oversight)
        if wait:
            run.conclude(watch(process, view))
        else:
            run.follow()
    return run


def this_machine(planned: Hardware, *, just_looked: bool = True) -> Machine:
    """What is here now. A plan for this machine has just looked; for a stored one, or another's, it is probed."""
    from tunekit.probes.local import probe_hardware

    report = read_gpus() if planned.gpus else GpuReport()
    shown = visible_gpus(report.gpus, visible_here())
    return Machine(
        hardware=planned if planned.name == LOCAL and just_looked else probe_hardware(),
        gpu_free_bytes={gpu.index: gpu.free_bytes for gpu in shown},
        gpu_uuids=report.uuids,
    )


def find_run(name: str) -> RunDir:
    """A run by its directory, or by its name below runs/. UsageError: there is none, with the nearest names."""
    for path in (Path(name).expanduser(), RUNS / name):
        if is_run(RunDir(path)):
            return _without_orphans(RunDir(path.absolute()))
    known = [run.path.name for run in runs_in(RUNS)]
    nearest = get_close_matches(Path(name).name, known, n=3)
    hint = f"did you mean {' or '.join(nearest)}?" if nearest else "`tunekit runs [FOLDER]` lists the runs."
    raise UsageError(f"{name} is not a run directory; {hint}")


def runs_in(folder: Path) -> list[RunDir]:
    """The runs in a folder, and the folder itself where it is one."""
    children = sorted(path for path in folder.iterdir() if path.is_dir()) if folder.is_dir() else []
    return [_without_orphans(RunDir(path.absolute())) for path in (folder, *children) if is_run(RunDir(path))]


def _without_orphans(run_dir: RunDir) -> RunDir:
    reap_orphans(run_dir, grace=STOP_GRACE)
    return run_dir


class _AttachedProcess:
    """The processes of a run that another program started: they can be watched and ended; their exit code is lost."""

    def __init__(self, run_dir: RunDir) -> None:
        self._run_dir = run_dir

    def poll(self) -> Observed | None:
        if is_alive(self._run_dir):
            return None
        code = (read_record(self._run_dir.result) or {}).get("exit_code")
        return Observed(exit_code=code if isinstance(code, int) else None)

    def stop(self, *, grace: float = STOP_GRACE) -> None:
        end_processes(self._run_dir, read_process(self._run_dir), grace=grace)

    def kill(self) -> None:
        kill_processes(self._run_dir, read_process(self._run_dir))


def _silent() -> Console:
    from rich.console import Console

    return Console(quiet=True)
