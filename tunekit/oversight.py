"""Puts a run under watch: eyes for its cards and drives, a board for TensorBoard, and somebody to be told."""

from __future__ import annotations

import os
import shlex
import shutil
import socket
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from tunekit.backends.base import Process
from tunekit.backends.board import Board
from tunekit.backends.notifier import Notifier
from tunekit.backends.processes import members, ranks, read_process
from tunekit.backends.watching import Watched, Watcher, append
from tunekit.doctor.readings import Told
from tunekit.errors import UsageError
from tunekit.launcher.attempts import all_metrics
from tunekit.launcher.checkpoints import newest_complete
from tunekit.launcher.outcome import RunResult
from tunekit.launcher.progress import Progress, fold
from tunekit.launcher.run_dir import RunDir
from tunekit.launcher.stop_request import read_stop_request
from tunekit.planner.plan import Plan
from tunekit.probes.sampling import Sampler
from tunekit.probes.user_folder import read_own_notices
from tunekit.recipe.schema import Occasion
from tunekit.watch.findings import Finding, sentence
from tunekit.watch.notice import Addressee, Notice, addressees


class Oversight:
    """One attempt under watch. Build it before the start: a faulty address is the user's to mend, and nothing runs yet.

    UsageError: an address that is named is none, or the user's own file cannot be read.
    """

    def __init__(self, plan: Plan, run_dir: RunDir, *, environ: Mapping[str, str] = os.environ) -> None:
        self._plan = plan
        self._run_dir = run_dir
        self._notifier = Notifier(who_is_told(plan, environ), self._complain)
        self._progress = Progress()

    def over(self, process: Process, cards: Sequence[int]) -> Watched:
        """The process under watch; `cards` are the driver's indices of the cards it uses."""
        board = Board(self._run_dir.tensorboard) if "tensorboard" in self._plan.recipe.tracking else None
        watcher = Watcher(
            self._plan,
            self._run_dir,
            Sampler(cards, drives_of(self._plan, self._run_dir)),
            pids=self._pids,
            say=self._warn,
            board=board,
        )
        self._notify("started", f"started: {self._plan.verdict}. {self._plan.reason}")
        return Watched(process, watcher)

    def ended(self, result: RunResult) -> None:
        """Tell how the attempt ended, and wait a little until everybody has been told."""
        occasion: Occasion = result.state
        self._progress = fold(Progress(), all_metrics(self._run_dir))
        self._notify(occasion, ending(result, read_stop_request(self._run_dir).reason, self._run_dir))
        with suppress(KeyboardInterrupt):  # the impatient need not wait for it
            self._notifier.close()

    def _warn(self, finding: Finding, progress: Progress) -> None:
        self._progress = progress
        facts = {"rule": finding.rule, "place": finding.place, "todo": finding.todo, "stops": finding.stops}
        self._notify("warning", sentence(finding.event()), **facts)

    def _notify(self, occasion: Occasion, text: str, **facts: Any) -> None:
        if occasion not in self._plan.recipe.watch.notify:
            return
        path = self._run_dir.path
        planned = self._plan.recipe.train.max_steps
        reached = {"step": self._progress.step, "max_steps": self._progress.max_steps or planned}
        self._notifier.send(
            Notice(
                occasion=occasion,
                run=path.name,
                run_dir=str(path),
                host=socket.gethostname(),
                text=text,
                time=round(time.time(), 3),
                facts={**reached, **facts},
            )
        )

    def _pids(self) -> dict[int, int]:
        found = ranks(members(self._run_dir, read_process(self._run_dir)))
        return {rank: process.pid for rank, process in found.items()}

    def _complain(self, text: str) -> None:
        append(self._run_dir.events, {"event": "warning", "text": text, "time": round(time.time(), 3)})


def who_is_told(plan: Plan, environ: Mapping[str, str]) -> tuple[Addressee, ...]:
    """The recipe's addressees and the user's own."""
    path, own = read_own_notices(environ)
    return addressees(plan.recipe.watch, own, environ, own_path=str(path))


def can_be_told(plan: Plan, environ: Mapping[str, str]) -> Told:
    """Whether notices would reach somebody, as far as looking tells: nothing is sent."""
    try:
        programs = [each.command[0] for each in who_is_told(plan, environ) if each.command]
    except UsageError as error:
        return Told(fault=str(error))
    return Told(missing=tuple(name for name in programs if shutil.which(name, path=environ.get("PATH")) is None))


def drives_of(plan: Plan, run_dir: RunDir) -> dict[str, Path]:
    """The folders whose drives the run fills, by purpose."""
    nvme = plan.job.zero.nvme_path
    return {"output": run_dir.path} | ({"nvme": Path(nvme)} if nvme is not None else {})


def cards_of(plan: Plan, chosen: Sequence[int]) -> tuple[int, ...]:
    """The cards that a run uses: those chosen, else the first ones; none on a CPU."""
    if plan.job.accelerator != "cuda":
        return ()
    return tuple(chosen) or tuple(range(plan.job.batch.world_size))


def ending(result: RunResult, reason: str, run_dir: RunDir) -> str:
    """How a run ended, in one sentence, with what to type."""
    path = shlex.quote(str(run_dir.path))
    if result.state == "done":
        success = result.success
        loss = success.get("loss_last")
        steps = f"{success.get('steps')} steps" + (f", loss {loss:.4f}" if isinstance(loss, float) else "")
        return f"done: {steps}; the result lies in {run_dir.final}"
    on = _way_on(run_dir)
    if result.state == "stopped":
        return f"stopped{f': {reason}' if reason else ''}; {on}"
    first = result.cause[-1] if result.cause else result.reading
    cause = f"{first} ({result.said})" if result.said and result.cause else result.said or first
    return f"failed in phase {result.phase}: {cause}; `tunekit status {path}` says more; {on}"


def _way_on(run_dir: RunDir) -> str:
    """The command that goes on with a run, or what to do where there is nothing to go on from."""
    if newest_complete(run_dir.checkpoints) is None:
        return "it has no complete checkpoint: launch anew"
    return f"`tunekit resume {shlex.quote(str(run_dir.path))}` goes on with it"
