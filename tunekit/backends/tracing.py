"""Runs a trace in a process of its own: the command line stays without torch, and can give up."""

from __future__ import annotations

import os
import re
import sys
import tempfile
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

from tunekit.backends.child import run_child
from tunekit.errors import RunFailed, UsageError
from tunekit.memory.tracing import Trace, TraceRequest
from tunekit.memory.tracing_json import request_to_text, trace_from_json

LIMIT_SECONDS = 180
"""A trace that takes longer is ended; the largest model of the catalogue takes a tenth of it."""
_RAISED = re.compile(r"[\w.]*(Error|Exception|UnknownValue)\b.*: ")
_QUIET = {
    # No GPU is used, and making its context would take seconds and memory on a card that may be full.
    "CUDA_VISIBLE_DEVICES": "",
    "HF_HUB_OFFLINE": "1",
    "OMP_NUM_THREADS": "1",
    "TRANSFORMERS_VERBOSITY": "error",
    "PYTHONWARNINGS": "ignore",
}


def needed_packages(request: TraceRequest) -> tuple[str, ...]:
    """What a trace imports."""
    chunked = ("trl",) if request.loss == "chunked" else ()
    quantised = ("bitsandbytes",) if request.base != "none" else ()
    return ("torch", "transformers", "peft", *chunked, *quantised)


def check_packages(request: TraceRequest) -> None:
    """UsageError: the extra that trains, and so traces, is not installed."""
    missing = [name for name in needed_packages(request) if find_spec(name) is None]
    if missing:
        raise UsageError(
            f"--trace runs the model's own code and needs {', '.join(missing)}: pip install 'tunekit[train]'. "
            "Without --trace the plan needs none of them."
        )


def run_trace(request: TraceRequest, *, waiting: Callable[[], None], limit: float = LIMIT_SECONDS) -> Trace:
    """Trace in a child process; `waiting` is called often while it works.

    UsageError: packages are missing, or transformers cannot build the model. RunFailed: it broke or took too long.
    """
    check_packages(request)
    with tempfile.TemporaryDirectory(prefix="tunekit-trace-") as folder:
        asked, answer, log = (Path(folder) / name for name in ("request.json", "trace.json", "log.txt"))
        asked.write_text(request_to_text(request))
        argv = [sys.executable, "-m", "tunekit.worker.tracing", "--request", str(asked), "--result", str(answer)]
        code = run_child(argv, env={**os.environ, **_QUIET}, log=log, limit=limit, waiting=waiting)
        if code != 0:
            raise _failure(code, log.read_text(errors="replace"), limit)
        return trace_from_json(answer.read_text())


def _failure(code: int | None, text: str, limit: float) -> UsageError | RunFailed:
    if code is None:
        return RunFailed(f"the trace was not done after {limit:.0f} s and was ended; the plan does not depend on it.")
    lines = [line for line in text.splitlines() if line.strip()]
    if code == UsageError.exit_code:
        return UsageError(lines[-1])
    raised = [line for line in lines if _RAISED.match(line)]
    return RunFailed(f"the trace broke: {(raised or lines or [f'it ended with code {code}'])[-1]}")
