"""`tunekit doctor --build-ops`: builds ops in one process, its progress shown, its limit kept, its error told."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from pathlib import Path

from tunekit.backends.child import run_child
from tunekit.backends.preparation import Report, cause_and_cure
from tunekit.errors import MissingError
from tunekit.launcher.caller import Caller
from tunekit.launcher.environment import extensions_dir, path_with_environment_first
from tunekit.launcher.logs import tail
from tunekit.launcher.ops import build_lock
from tunekit.units import format_seconds

MODULE = "tunekit.worker.building"
LIMIT_SECONDS = 1200.0
"""Of each op: many times what it takes on two idle cores, as a busy machine takes long; then it hangs."""
LOG = "build.log"


def build(ops: tuple[str, ...], caller: Caller, env: Mapping[str, str], *, report: Report) -> None:
    """Compile `ops` into the caller's cache; `env` is what the builder gets beyond this process's environment.

    MissingError: one cannot be built, with the compiler's first error and where its words stand.
    """
    folder = extensions_dir(caller)
    with build_lock(folder):  # a folder that cannot be written is told at once
        pass
    log = folder / LOG
    environment = {
        **os.environ,
        **env,
        "PATH": path_with_environment_first(caller),
        "TORCH_EXTENSIONS_DIR": str(folder),
        "PYTHONUNBUFFERED": "1",
    }
    limit = LIMIT_SECONDS * len(ops)

    def waiting() -> None:
        last = tail(log, 1)
        report(f"compiling {', '.join(ops)}" + (f": {last[0][:100]}" if last else ""))

    argv = (sys.executable, "-m", MODULE, *ops)
    code = run_child(argv, env=environment, log=log, limit=limit, waiting=waiting)
    if code != 0:
        raise MissingError(_failure(ops, code, log, limit))


def _failure(ops: tuple[str, ...], code: int | None, log: Path, limit: float) -> str:
    if code is None:
        return f"{', '.join(ops)}: not built after {format_seconds(limit)}; {log} has the compiler's words."
    cause, cure = cause_and_cure(log, code)
    return f"{', '.join(ops)} cannot be built: {cause}\nThe compiler's words: {log}; {cure or 'mend what they name'}."
