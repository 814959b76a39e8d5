"""Measures this machine, one process after the other, each with its limit, all within a minute."""

from __future__ import annotations

import json
import os
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from importlib.util import find_spec
from pathlib import Path

from tunekit.backends.child import run_child
from tunekit.hardware.probing import Options, Outcome
from tunekit.hardware.spec import Hardware
from tunekit.launcher.caller import Caller
from tunekit.launcher.environment import extensions_dir, link_variables
from tunekit.launcher.ops import missing_ops

LIMIT_SECONDS = 55.0
"""Of all measurements together; starting and ending tunekit takes the rest of a minute."""
TORCH, PLAIN = "tunekit.worker.probing", "tunekit.probes.speeds"

Report = Callable[[str], None]
"""Called with what is being measured now; often."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One measurement: the module that does it, how long it measures, and what it gets at the least to be done."""

    name: str
    title: str
    module: str
    seconds: float
    least: float
    """Seconds with the start of its process; it may take more where the others have taken less."""


STEPS = (
    Step(name="ram", title="RAM", module=PLAIN, seconds=2, least=4),
    Step(name="drive", title="drive", module=PLAIN, seconds=4, least=6),
    Step(name="matmul", title="matrix products", module=TORCH, seconds=2, least=8),
    Step(name="copies", title="copies between RAM and cards", module=TORCH, seconds=3, least=10),
    Step(name="adam", title="CPU Adam", module=TORCH, seconds=3, least=13),
    # The last: on boards that promise a peer access they do not have, it hangs.
    Step(name="collectives", title="all-gather and all-reduce", module=TORCH, seconds=3, least=13),
)


def run_probe(hardware: Hardware, caller: Caller, *, report: Report, limit: float = LIMIT_SECONDS) -> list[Outcome]:
    """What every measurement found on this machine; one that fails or takes too long says so and stops no other."""
    end = time.monotonic() + limit
    outcomes = []
    todo = [step for step in STEPS if not left_out(step, hardware)]
    with tempfile.TemporaryDirectory(prefix="tunekit-probe-") as folder:
        for number, step in enumerate(todo):
            words = f"measuring {step.title} ({number + 1} of {len(todo)})"
            own = end - time.monotonic() - sum(later.least for later in todo[number + 1 :])
            outcomes.append(_measure(step, own, hardware, caller, Path(folder), partial(report, words)))
    rest = [Outcome(title=step.title, found={}, missing=left_out(step, hardware)) for step in STEPS if step not in todo]
    return [*outcomes, *rest]


def left_out(step: Step, hardware: Hardware) -> str:
    """Why a measurement makes no sense or cannot be done on this machine; empty when it can."""
    if step.name == "copies" and not hardware.gpus:
        return "no card here"
    if step.name == "collectives" and len(hardware.gpus) == 1:
        return "one card has nobody to exchange with"
    if step.module == TORCH and find_spec("torch") is None:
        return "needs torch: pip install 'tunekit[train]'"
    return ""


def _measure(
    step: Step, limit: float, hardware: Hardware, caller: Caller, folder: Path, waiting: Callable[[], None]
) -> Outcome:
    options = Options(
        seconds=step.seconds,
        cores=hardware.host.cores,
        ranks=hardware.world_size,
        free_bytes=hardware.host.usable_ram_bytes,
        folder=caller.cache_dir,
        adam_op=_adam_op(extensions_dir(caller)),
    )
    env = _environment(step, hardware, caller)
    return run_step(step, options, env=env, limit=limit, folder=folder, waiting=waiting)


def run_step(
    step: Step, options: Options, *, env: Mapping[str, str], limit: float, folder: Path, waiting: Callable[[], None]
) -> Outcome:
    """One measurement in a process of its own, ended after `limit` seconds; `folder` takes its result and words."""
    started = time.monotonic()
    result, log = folder / f"{step.name}.json", folder / f"{step.name}.log"
    argv = (sys.executable, "-m", step.module, step.name, "--result", str(result), *options.argv())
    code = run_child(argv, env=env, log=log, limit=limit, waiting=waiting)
    seconds = time.monotonic() - started
    if code == 0:
        return Outcome(title=step.title, found=json.loads(result.read_text()), seconds=seconds)
    return Outcome(title=step.title, found={}, missing=_failure(code, log, limit), seconds=seconds)


def _adam_op(folder: Path) -> str:
    return "" if missing_ops(folder, ("cpu_adam",)) else str(folder / "cpu_adam" / "cpu_adam.so")


def _environment(step: Step, hardware: Hardware, caller: Caller) -> dict[str, str]:
    ranks = hardware.world_size if step.name == "collectives" else 1
    return {
        **os.environ,
        "OMP_NUM_THREADS": str(max(1, hardware.host.cores // ranks)),
        "TORCH_EXTENSIONS_DIR": str(extensions_dir(caller)),
        **link_variables(hardware),
    }


def _failure(code: int | None, log: Path, limit: float) -> str:
    if code is None:
        return f"not done after {limit:.0f} s"
    lines = [line for line in log.read_text(errors="replace").splitlines() if line.strip()]
    return lines[-1][:200] if lines else f"it ended with code {code}"
