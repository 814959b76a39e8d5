"""Running one case in processes of its own, within a time limit, and reading what it left."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import psutil

from trials.case import STEPS, Case, machine_for, plan_of
from trials.model import write_rows
from trials.sampler import Sampler, card_reader, family_reader, peaks_by_phase
from tunekit.ds_config.build import build_ds_config
from tunekit.hardware.spec import Hardware
from tunekit.launcher.caller import this_caller
from tunekit.launcher.environment import stray_variables, worker_environment
from tunekit.launcher.json_lines import read_lines, read_record
from tunekit.launcher.ports import choose_port
from tunekit.launcher.run_dir import RunDir
from tunekit.planner.plan import Plan
from tunekit.planner.plan_json import plan_to_json

Outcome = Literal["ok", "oom", "failed", "timeout"]
_OUT_OF_MEMORY = ("OutOfMemoryError", "out of memory", "CUDA_ERROR_OUT_OF_MEMORY", "DefaultCPUAllocator")
_HERE = Path(__file__).resolve().parent


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """What became of a case. `measured` is measured.json, empty unless it is `ok`; `sampled` bytes by phase."""

    case: Case
    plan: Plan
    outcome: Outcome
    seconds: float
    measured: dict[str, Any] = field(default_factory=dict)
    sampled: dict[str, int] = field(default_factory=dict)
    disk: dict[str, int] = field(default_factory=dict)
    """Bytes of the last checkpoint, of the final model and of swap files, where there are any."""
    error: str = ""


def run_case(case: Case, here: Hardware, workshop: Path, *, timeout: float) -> Trial:
    """Run it; everything but the model and the rows is removed afterwards."""
    folder = workshop / "trial"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    _link(folder / "model", model_folder(case, workshop))
    _link(folder / "rows.jsonl", rows_file(case, workshop))
    try:
        return _run(case, plan_of(case, machine_for(case, here), folder=folder), folder, timeout)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def model_folder(case: Case, workshop: Path) -> Path:
    """The cut model, made on first use; a folder that is not whole is made again."""
    folder = workshop / "models" / f"{case.model.replace('/', '--')}-{case.layers}"
    if not (folder / "tokenizer.json").exists():
        shutil.rmtree(folder, ignore_errors=True)
        argv = [sys.executable, str(_HERE / "model.py"), str(folder), json.dumps(case.config)]
        subprocess.run(argv, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    return folder


def rows_file(case: Case, workshop: Path) -> Path:
    """Rows for every step and for what is held out, made on first use."""
    count = 2 * case.micro * case.accumulate * case.processes * STEPS
    path = workshop / f"rows-{count}x{case.length}.jsonl"
    if not path.exists():
        temporary = path.with_suffix(".tmp")
        write_rows(temporary, count=count, length=case.length)
        temporary.replace(path)
    return path


def allocator_limit(plan: Plan, case: Case) -> int:
    """What torch's allocator would have of the played card: its usable bytes less what the plan counts outside it."""
    if case.limit_gb is None:
        return 0
    outside = sum(term.device_bytes for term in plan.memory.terms if not term.pooled and "step" in term.phases)
    return plan.memory.device.usable_bytes - outside


def _run(case: Case, plan: Plan, folder: Path, timeout: float) -> Trial:
    run_dir = write_run(plan, folder / "run")
    (folder / "nvme").mkdir()
    began = time.monotonic()
    environment = environment_of(plan, run_dir)
    prepare(run_dir, environment)
    reader = card_reader() if plan.hardware.gpus else family_reader(psutil.Process())
    with Sampler(reader) as sampler:
        code = run_ranks(plan, run_dir, environment, limit=allocator_limit(plan, case), timeout=timeout)
    outcome, error = outcome_of(code, run_dir)
    return Trial(
        case=case,
        plan=plan,
        outcome=outcome,
        seconds=round(time.monotonic() - began, 1),
        measured=(read_record(run_dir.measured) or {}) if outcome == "ok" else {},
        sampled=peaks_by_phase(sampler.samples, read_lines(run_dir.events)),
        disk=sizes_on_disk(run_dir),
        error=error,
    )


def write_run(plan: Plan, path: Path) -> RunDir:
    """What the worker reads."""
    run_dir = RunDir(path)
    run_dir.logs.mkdir(parents=True)
    run_dir.plan.write_text(json.dumps(plan_to_json(plan)))
    run_dir.ds_config.write_text(json.dumps(build_ds_config(plan.recipe, plan.job, plan.model_shape)))
    return run_dir


def environment_of(plan: Plan, run_dir: RunDir) -> dict[str, str]:
    """The environment that a launch would give the ranks."""
    kept = {name: value for name, value in os.environ.items() if name not in stray_variables(os.environ)}
    return {**kept, **worker_environment(plan, this_caller(), run_dir=str(run_dir.path))}


def prepare(run_dir: RunDir, environment: dict[str, str]) -> None:
    """Build DeepSpeed's ops where they are missing. Raises SystemExit with the log's end when that fails."""
    argv = [sys.executable, "-m", "tunekit.worker.prepare", "--plan", str(run_dir.plan)]
    with run_dir.prepare_log.open("wb") as log:
        ended = subprocess.run(argv, env=environment, stdout=log, stderr=log, check=False)
    if ended.returncode:
        sys.exit(run_dir.prepare_log.read_text(errors="replace")[-2000:])


def run_ranks(plan: Plan, run_dir: RunDir, environment: dict[str, str], *, limit: int, timeout: float) -> int | None:
    """Start every rank, wait for all; the first code that is not 0, None when the time was up. None is left behind."""
    port = str(choose_port(str(run_dir.path)))
    size = plan.job.batch.world_size
    argv = [sys.executable, str(_HERE / "limited_worker.py"), str(limit), "--plan", str(run_dir.plan)]
    with _processes() as started:
        for rank in range(size):
            place = {"RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": str(size), "LOCAL_WORLD_SIZE": str(size)}
            group = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
            with run_dir.rank_log(rank).open("wb") as log:
                env = {**environment, **place, **group}
                started.append(subprocess.Popen(argv, env=env, stdout=log, stderr=log, start_new_session=True))
        return _wait(started, timeout)


def _wait(started: Sequence[subprocess.Popen[bytes]], timeout: float) -> int | None:
    until = time.monotonic() + timeout
    while any(process.poll() is None for process in started):
        failed = [process.returncode for process in started if process.poll()]
        if failed:
            return failed[0]  # its peers would wait for it for ever
        if time.monotonic() > until:
            return None
        time.sleep(0.1)
    return next((process.returncode for process in started if process.returncode), 0)


@contextmanager
def _processes() -> Iterator[list[subprocess.Popen[bytes]]]:
    started: list[subprocess.Popen[bytes]] = []
    try:
        yield started
    finally:
        for process in started:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def outcome_of(code: int | None, run_dir: RunDir) -> tuple[Outcome, str]:
    """How it ended and the first line of why; a rank that is out of memory says so in failure.json."""
    if code == 0 and run_dir.success.exists():
        return "ok", ""
    if code is None:
        return "timeout", "the time was up"
    failure = read_record(run_dir.failure) or {}
    told = f"{failure.get('type', '')}: {failure.get('message', '')}".strip(": \n") or f"exit code {code}"
    out_of_memory = any(word in told for word in _OUT_OF_MEMORY)
    return ("oom" if out_of_memory else "failed"), told.splitlines()[0][:200]


def sizes_on_disk(run_dir: RunDir) -> dict[str, int]:
    """Bytes of the newest checkpoint and of the final model."""
    newest = max(run_dir.checkpoints.glob("checkpoint-*"), key=lambda path: path.stat().st_mtime, default=None)
    found = {"checkpoint": newest, "final": run_dir.final}
    return {name: folder_bytes(path) for name, path in found.items() if path is not None and path.exists()}


def folder_bytes(folder: Path) -> int:
    """Bytes of all files below a folder."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def _link(link: Path, target: Path) -> None:
    link.symlink_to(target.resolve(), target_is_directory=target.is_dir())
