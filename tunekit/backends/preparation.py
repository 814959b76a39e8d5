"""Before the ranks start: one process builds ops and converts files, its progress shown, never two at once."""

from __future__ import annotations

import os
import re
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

from tunekit.backends.processes import POLL_SECONDS, ProcessRecord, kill_processes, record_process
from tunekit.diagnosis.tracebacks import first_traceback
from tunekit.errors import MissingError, RunFailed, TunekitError
from tunekit.launcher.environment import ATTEMPT_VARIABLE
from tunekit.launcher.logs import tail
from tunekit.launcher.ops import EXPECTED_SECONDS
from tunekit.launcher.request import LaunchRequest
from tunekit.launcher.run_dir import RunDir
from tunekit.units import format_seconds

Report = Callable[[str], None]
"""Called with what is being done now; often, with the same text while nothing changes."""

_CURES: tuple[tuple[str, str], ...] = (
    (r"Python\.h: No such file", "the headers of Python are missing: apt install python3-dev"),
    (r"libaio|laio", "libaio's headers are missing: apt install libaio-dev"),
    (
        r"Command '\['[^']+', '--version'\]' returned non-zero",
        "that is no C++ compiler: unset CXX, or apt install g++ and set CXX=g++",
    ),
    (r"(c\+\+|g\+\+): (command )?not found", "there is no C++ compiler: apt install g++"),
    (r"No such file or directory: '?[\w/]*[cg]\+\+", "there is no C++ compiler: apt install g++"),
    (r"ninja[^\n]*(not found|not being installed|No such)", "ninja is missing in this environment: pip install ninja"),
    (
        r"need C\+\+\d\d|GCC \d+ or later|option[^\n]*std=",
        "the C++ compiler is too old: apt install g++-12, CXX=g++-12",
    ),
    (r"No space left on device", "the drive of ~/.cache is full: free 1 GiB"),
)

_REMARK = re.compile(r"Failed to load .* from kernels-community|No AutoEP layers")
"""What bitsandbytes and DeepSpeed say of parts that nobody asked for."""
_SHOWN = 100


def prepare(request: LaunchRequest, argv: tuple[str, ...], run_dir: RunDir, *, what: str, report: Report) -> None:
    """Run the preparation process to its end; its last line is reported while it works.

    MissingError with the cure when something of the machine is missing, RunFailed otherwise. KeyboardInterrupt ends
    the process first.
    """
    run_dir.logs.mkdir(parents=True, exist_ok=True)
    with run_dir.prepare_log.open("wb") as log:
        popen = subprocess.Popen(
            argv,
            env=request.environment(os.environ),
            cwd=request.cwd,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        record = record_process(run_dir, popen.pid, int(request.env[ATTEMPT_VARIABLE]))
        _watch(popen, run_dir, record, what=what, report=report)
    finally:  # a full disk, or Ctrl-C before it was recorded: what nobody can find again must not run
        popen.kill()
        popen.wait()
    if run_dir.stop_request.exists():  # `tunekit stop` from another terminal
        raise KeyboardInterrupt
    if popen.returncode != 0:
        raise preparation_error(run_dir, popen.returncode)


def describe_work(ops: tuple[str, ...], convert: str | None, fit: str | None = None) -> str:
    """What the preparation will do, and for how long, in words."""
    parts = []
    if ops:
        seconds = format_seconds(sum(EXPECTED_SECONDS.get(op, 60) for op in ops))
        parts.append(f"compiling DeepSpeed's {', '.join(ops)} once for this machine (about {seconds} on two cores)")
    if convert is not None:
        parts.append(f"converting {convert} once")
    if fit is not None:
        parts.append(f"making {fit} fit the new plan")
    return " and ".join(parts)


def preparation_error(run_dir: RunDir, code: int) -> TunekitError:
    """The first cause in the preparation's log, with its cure where one is known."""
    cause, cure = cause_and_cure(run_dir.prepare_log, code)
    message = f"preparing the run failed: {cause}\n"
    where = f"The whole log: {run_dir.prepare_log}"
    if not cure:
        return RunFailed(f"{message}{where}")
    return MissingError(f"{message}{cure}; then start again.\n{where}")


def cause_and_cure(log: Path, code: int | None) -> tuple[str, str]:
    """The first cause in a builder's log, and its cure; empty where none is known."""
    text = log.read_text(errors="replace")
    cause = _cause(text) or "\n".join(tail(log, 5)) or f"exit code {code}"
    return cause, next((cure for signature, cure in _CURES if re.search(signature, text)), "")


def _watch(
    popen: subprocess.Popen[bytes], run_dir: RunDir, record: ProcessRecord, *, what: str, report: Report
) -> None:
    try:
        while popen.poll() is None:
            last = readable("".join(tail(run_dir.prepare_log, 1)))
            report(f"{what}: {last}" if last else what)
            time.sleep(POLL_SECONDS)
    finally:
        kill_processes(run_dir, record)


def readable(line: str) -> str:
    """A builder's line as people read it: of a progress bar how far it is, of what libraries miss nothing."""
    if bar := re.match(r"(?:(\S.*?): *)? *(\d+)%\|", line):
        return f"{bar[1]} {bar[2]} %" if bar[1] else f"{bar[2]} %"
    words = "" if _REMARK.match(line) else re.sub(r"^\*+ *(?:\d+\. *)?", "", line)
    return words if len(words) <= _SHOWN else f"{words[:_SHOWN]}…"


def _cause(text: str) -> str | None:
    """The compiler's first error, else the last line of the first traceback, else the builder's own words."""
    if match := re.search(r"^.*(?:(?:fatal error|error): .*|\+\+: (?:command )?not found)$", text, re.MULTILINE):
        return match[0].strip()
    if traceback := first_traceback(text):
        return traceback.splitlines()[-1]
    builder = re.search(r"^DeepSpeed's op \w+ cannot be built: (.+)$", text, re.MULTILINE)
    return builder[1] if builder else None
