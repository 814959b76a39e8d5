"""A backend that starts nothing: it records requests and plays a script. For tests, tunekit's and yours."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from tunekit.backends.base import STOP_GRACE
from tunekit.launcher.exit_codes import STOPPED
from tunekit.launcher.outcome import Observed
from tunekit.launcher.request import LaunchRequest
from tunekit.launcher.run_dir import RunDir


@dataclass(frozen=True, slots=True, kw_only=True)
class Script:
    """What a played attempt does: it writes `files` (name below the run directory: text) and ends after `polls`.

    `polls` of None: it runs until it is stopped or killed.
    """

    files: Mapping[str, str] = field(default_factory=dict)
    exit_code: int = 0
    failing_rank: int | None = None
    polls: int | None = 1


class RecordingBackend:
    """Keeps every request in `requests`; each start plays the next script, the last one again and again."""

    def __init__(self, *scripts: Script) -> None:
        self.requests: list[LaunchRequest] = []
        self.processes: list[RecordedProcess] = []
        self._scripts = scripts or (Script(),)

    def start(self, request: LaunchRequest, run_dir: RunDir) -> RecordedProcess:
        """Record the request and begin the next script."""
        script = self._scripts[min(len(self.requests), len(self._scripts) - 1)]
        self.requests.append(request)
        process = RecordedProcess(script, run_dir)
        self.processes.append(process)
        return process


class RecordedProcess:
    """An attempt that is played. `stopped` and `killed` tell what was asked of it."""

    def __init__(self, script: Script, run_dir: RunDir) -> None:
        self.stopped = False
        self.killed = False
        self._script = script
        self._run_dir = run_dir
        self._polls = 0
        self._observed: Observed | None = None

    def poll(self) -> Observed | None:
        """None as long as the script says, then its end, with its files written."""
        if self._observed is None:
            self._polls += 1
            if self._script.polls is not None and self._polls > self._script.polls:
                self._end(self._script.exit_code)
        return self._observed

    def stop(self, *, grace: float = STOP_GRACE) -> None:
        """Leave the stop request and end as ranks do that were asked to."""
        self.stopped = True
        self._run_dir.stop_request.write_text("0\n")
        self._observed = self._observed or Observed(exit_code=STOPPED)

    def kill(self) -> None:
        """End at once."""
        self.killed = True
        self._observed = self._observed or Observed(exit_code=STOPPED)

    def _end(self, exit_code: int) -> None:
        for name, text in self._script.files.items():
            path = self._run_dir.path / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        self._observed = Observed(exit_code=exit_code, failing_rank=self._script.failing_rank)
