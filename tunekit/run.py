"""`Run`: a run directory with its life: start, watch, stop, resume. What the command line and notebooks share."""

from __future__ import annotations

from difflib import get_close_matches
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING

from tunekit.backends.base import STOP_GRACE, Backend, Process, backend
from tunekit.backends.processes import end_processes, is_alive, kill_processes, read_process
from tunekit.backends.session import Start, resumable, start_run
from tunekit.errors import DoesNotFit, RunFailed, UsageError
from tunekit.hardware.profiles import LOCAL
from tunekit.hardware.spec import Hardware
from tunekit.launcher.attempts import all_metrics, last_attempt
from tunekit.launcher.caller import Caller, this_caller
from tunekit.launcher.checkpoints import Checkpoint, list_checkpoints, newest_complete
from tunekit.launcher.json_lines import Record, read_record
from tunekit.launcher.logs import find_rank_log
from tunekit.launcher.outcome import Observed, RunResult, read_result, write_result
from tunekit.launcher.preflight import Machine
from tunekit.launcher.run_dir import RUNS as RUNS
from tunekit.launcher.run_dir import RunDir
from tunekit.launcher.state import RunStatus, is_run, read_plan, read_status
from tunekit.planner.plan import Plan
from tunekit.probes.gpus import GpuReport, read_gpus, visible_gpus, visible_here
from tunekit.render.live import LiveView
from tunekit.render.plan_parts import rejection_text
from tunekit.render.run_report import RunReport, build_report
from tunekit.render.summary import failure_text, print_summary, resuming_text, stopped_text
from tunekit.render.watch import watch

if TYPE_CHECKING:
    from rich.console import Console


class Run:
    """A run, told by its directory. Its processes may have been started here or by anybody on this machine."""

    def __init__(self, path: str | Path, *, process: Process | None = None) -> None:
        self.dir = find_run(str(path))
        self._process = process
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
        return read_status(self.dir, alive=is_alive(self.dir))

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
        return list_checkpoints(self.dir.checkpoints, world_size=self.plan.job.batch.world_size)

    def wait(self, *, console: Console | None = None) -> RunResult:
        """Watch the run to its end and say how it ended; an interrupt stops it gently. Shows nothing without a console.

        RunFailed: it failed, with the first cause.
        """
        if self._result is None:
            process = self._process or _AttachedProcess(self.dir)
            with LiveView(self.dir, self.plan, console or _silent()) as view:
                self.conclude(watch(process, view))
        return self.checked()

    def stop(self) -> None:
        """Ask the ranks to save where a checkpoint is due and to end; all are gone within 10 s."""
        process = self._process or _AttachedProcess(self.dir)
        process.stop()
        self.conclude(process.poll() or Observed(exit_code=None))

    def resume(self, *, wait: bool = True, console: Console | None = None) -> Run:
        """Go on from the newest complete checkpoint, as a new attempt. UsageError: there is nothing to go on from."""
        return resume(self.dir, wait=wait, console=console)

    def conclude(self, observed: Observed) -> RunResult:
        """Judge the attempt whose processes have ended, and keep the result in the run directory."""
        if self._result is None:
            self._result = read_result(self.dir, self.plan, attempt=last_attempt(self.dir), observed=observed)
            write_result(self.dir, self._result)
        return self._result

    def checked(self) -> RunResult:
        """The result of the attempt that has ended. RunFailed: it failed, with the first cause."""
        assert self._result is not None
        if self._result.state == "failed":
            world_size = self.plan.job.batch.world_size
            step = self.resumable_step()
            raise RunFailed(failure_text(self._result, self.dir, world_size=world_size, resumable_step=step))
        return self._result

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
        newest = newest_complete(self.dir.checkpoints, world_size=self.plan.job.batch.world_size)
        return None if newest is None else newest.step

    def __repr__(self) -> str:
        status = self.status()
        step = "" if status.step is None else f", step {status.step}/{status.max_steps or '?'}"
        loss = "" if status.loss is None else f", loss {status.loss:.4f}"
        return f"Run({str(self.path)!r}: {status.state}{step}{loss})"

    def _repr_html_(self) -> str:
        return f"<code>{escape(repr(self))}</code>"


def start(order: Start, *, wait: bool = True, console: Console | None = None, on: Backend | None = None) -> Run:
    """Start a plan on this machine; with `wait`, watch it to its end.

    DoesNotFit: the plan was rejected. UsageError, MissingError: it cannot be started here. RunFailed: it failed.
    """
    if order.plan.verdict == "rejected":
        raise DoesNotFit(rejection_text(order.plan), plan=order.plan)
    return _start(order, this_caller(), wait=wait, console=console, on=on)


def resume(run_dir: RunDir, *, wait: bool = True, console: Console | None = None, on: Backend | None = None) -> Run:
    """Go on with a run from its newest complete checkpoint. UsageError: it is done, going on, or has none."""
    order, caller = resumable(run_dir, this_caller())
    if console is not None and order.resume_from is not None:
        text = resuming_text(run_dir, order.resume_from)
        console.print(text, markup=False, highlight=False, soft_wrap=True)
    return _start(order, caller, wait=wait, console=console, on=on)


def _start(order: Start, caller: Caller, *, wait: bool, console: Console | None, on: Backend | None) -> Run:
    machine = this_machine(order.plan.hardware, just_looked=order.resume_from is None)
    with LiveView(order.run_dir, order.plan, console or _silent()) as view:
        process = start_run(order, caller=caller, machine=machine, backend=on or backend("local"), report=view.report)
        run = Run(order.run_dir.path, process=process)
        if wait:
            run.conclude(watch(process, view))
    if wait:
        run.checked()
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
            return RunDir(path.absolute())
    known = [run.path.name for run in runs_in(RUNS)]
    nearest = get_close_matches(Path(name).name, known, n=3)
    hint = f"did you mean {' or '.join(nearest)}?" if nearest else "`tunekit runs [FOLDER]` lists the runs."
    raise UsageError(f"{name} is not a run directory; {hint}")


def runs_in(folder: Path) -> list[RunDir]:
    """The runs in a folder, and the folder itself where it is one."""
    children = sorted(path for path in folder.iterdir() if path.is_dir()) if folder.is_dir() else []
    return [RunDir(path.absolute()) for path in (folder, *children) if is_run(RunDir(path))]


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
