"""This machine as a backend: `deepspeed` in a session of its own, watched, and ended without orphans."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from tunekit.backends.base import STOP_GRACE
from tunekit.backends.processes import (
    ProcessRecord,
    end_processes,
    exit_code_of,
    kill_processes,
    lives,
    members,
    ranks,
    record_process,
)
from tunekit.errors import MissingError
from tunekit.launcher.environment import ATTEMPT_VARIABLE
from tunekit.launcher.exit_codes import STOPPED, read_exit_code
from tunekit.launcher.logs import end_of, hide_secrets, name_rank_logs
from tunekit.launcher.metrics import has_steps
from tunekit.launcher.outcome import Observed
from tunekit.launcher.request import LaunchRequest
from tunekit.launcher.run_dir import RunDir
from tunekit.launcher.shared_memory import remove_shared_memory

SURVIVOR_SECONDS = 5.0
"""How long other ranks may go on after one has failed: time to write their own tracebacks, not to wait for it."""
LAUNCHER_SECONDS = 30.0
"""How long deepspeed's own processes may go on after the last rank; frozen ones would for ever."""
PORT_OPTION = "--master_port"
_FAILURE_LINE = "Killing subprocess"
"""deepspeed's launcher writes this when the first rank has failed, before it ends the others one by one."""


class LocalBackend:
    """Starts processes on this machine."""

    def start(self, request: LaunchRequest, run_dir: RunDir) -> LocalProcess:
        """Start the command in a session of its own, its output in the launcher's log.

        MissingError: the command cannot be executed.
        """
        port = _master_port(request)
        _free_shared_memory(port)  # of a run that was killed before: the ranks would map its old states
        popen = self._popen(request, run_dir)
        try:
            record = record_process(run_dir, popen.pid, int(request.env.get(ATTEMPT_VARIABLE, "1")))
        except BaseException:  # a full disk, or Ctrl-C just now: what nobody can find again must not run
            popen.kill()
            popen.wait()
            raise
        return LocalProcess(popen, run_dir, record, port=port)

    def _popen(self, request: LaunchRequest, run_dir: RunDir) -> subprocess.Popen[bytes]:
        run_dir.logs.mkdir(parents=True, exist_ok=True)
        with run_dir.launcher_log.open("ab") as log:
            try:
                return subprocess.Popen(
                    request.argv,
                    env=request.environment(os.environ),
                    cwd=request.cwd,
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=subprocess.STDOUT,
                    start_new_session=True,
                )
            except OSError as error:
                raise MissingError(
                    f"{request.argv[0]}: {error.strerror}; pip install 'tunekit[train]' in this environment."
                ) from error


class LocalProcess:
    """A run on this machine that this process started."""

    def __init__(
        self, popen: subprocess.Popen[bytes], run_dir: RunDir, record: ProcessRecord, *, port: int | None = None
    ) -> None:
        self.pid = popen.pid
        self._port = port
        self._popen = popen
        self._run_dir = run_dir
        self._record = record
        self._oom_kills = oom_kills()
        self._rank_pids: dict[int, int] = {}
        self._stepping = False
        self._failed_at: float | None = None
        self._ranks_ended_at: float | None = None
        self._gone: dict[int, int | None] = {}
        self._observed: Observed | None = None

    def poll(self) -> Observed | None:
        """None while it runs. At the end whatever the launcher left behind is killed before this returns."""
        if self._observed is None:
            name_rank_logs(self._run_dir)
            self._watch_ranks()
            if self._popen.poll() is not None:
                self._let_ranks_save()
                self._finish()
            elif self._outlived_its_ranks():
                self._finish(0 if self._run_dir.success.exists() else 1)
        return self._observed

    def stop(self, *, grace: float = STOP_GRACE) -> None:
        """Ask the ranks to save and end; after `grace` seconds kill what is left."""
        if self._observed is not None:
            return
        end_processes(self._run_dir, self._record, grace=grace)
        self._finish()

    def kill(self) -> None:
        """End every process now."""
        if self._observed is not None:
            return
        self._finish()

    def _let_ranks_save(self) -> None:
        """The leader was ended from outside, by a signal to it alone: the ranks are well, and may save."""
        if self._rank_pids and not self._gone and all(map(lives, self._rank_pids.values())):
            reason = f"its deepspeed command was ended ({read_exit_code(self._popen.returncode).text})"
            end_processes(self._run_dir, self._record, grace=STOP_GRACE, reason=reason)

    def _outlived_its_ranks(self) -> bool:
        """Whether every rank has ended long ago and the leader still has not: it hangs, or somebody has frozen it."""
        if not self._stepping or not self._rank_pids or any(map(lives, self._rank_pids.values())):
            self._ranks_ended_at = None
            return False
        now = time.monotonic()
        self._ranks_ended_at = self._ranks_ended_at or now
        return now - self._ranks_ended_at > LAUNCHER_SECONDS

    def _finish(self, code: int | None = None) -> None:
        """Leave no process behind, and note how the leader ended: with `code` where it did not end by itself."""
        ended = code if code is not None else self._popen.poll()
        kill_processes(self._run_dir, self._record)
        self._popen.kill()
        self._popen.wait()
        _free_shared_memory(self._port)
        name_rank_logs(self._run_dir)
        with suppress(OSError):  # on a full disk
            hide_secrets(self._run_dir)
        failing, code = first_to_fail(self._gone)
        self._observed = Observed(
            exit_code=STOPPED if ended is None else ended,  # not the signal of our own kill
            failing_rank=failing,
            failing_code=code,
            oom_kills=_difference(oom_kills(), self._oom_kills),
        )

    def _watch_ranks(self) -> None:
        """Learn the ranks' pids and note which is gone first; when one has failed, do not let the others hang."""
        if self._failed_at is not None:
            self._end_survivors(since=self._failed_at)
            return
        if not self._metrics_began() or not self._rank_pids:
            found = ranks(members(self._run_dir, self._record))
            self._rank_pids.update({rank: process.pid for rank, process in found.items()})
        if not self._gone:
            self._gone = {rank: exit_code_of(pid) for rank, pid in self._rank_pids.items() if not lives(pid)}
        if self._launcher_saw_failure():
            self._failed_at = time.monotonic()

    def _end_survivors(self, *, since: float) -> None:
        if time.monotonic() - since > SURVIVOR_SECONDS:
            for process in ranks(members(self._run_dir, self._record)).values():
                process.kill()

    def _metrics_began(self) -> bool:
        """All ranks are there once the first has reported a step; looking for them costs time that they could use."""
        self._stepping = self._stepping or has_steps(self._run_dir)
        return self._stepping

    def _launcher_saw_failure(self) -> bool:
        return _FAILURE_LINE in end_of(self._run_dir.launcher_log)


def first_to_fail(gone: Mapping[int, int | None]) -> tuple[int | None, int | None]:
    """The rank that failed first, with its code, of those that were gone at the first look that missed any.

    Of several, one that a signal has ended: the others ended because of it, some by deepspeed's SIGTERM. (None, None):
    nobody knows.
    """
    killed = {rank: code for rank, code in gone.items() if code is not None and code < 0 and code != -signal.SIGTERM}
    candidates = gone if len(gone) == 1 else killed
    return next(iter(candidates.items())) if len(candidates) == 1 else (None, None)


def oom_kills(counters: Path = Path("/proc/vmstat")) -> int | None:
    """Processes that this machine's out-of-memory killer has ended since boot; None where the kernel does not say."""
    try:
        lines = counters.read_text().splitlines()
    except OSError:
        return None
    return next((int(line.split()[1]) for line in lines if line.startswith("oom_kill ")), None)


def _difference(now: int | None, before: int | None) -> int | None:
    return None if now is None or before is None else now - before


def _master_port(request: LaunchRequest) -> int | None:
    words = dict(zip(request.argv, request.argv[1:], strict=False))
    return int(words[PORT_OPTION]) if PORT_OPTION in words else None


def _free_shared_memory(port: int | None) -> None:
    if port is not None:
        remove_shared_memory(port)
