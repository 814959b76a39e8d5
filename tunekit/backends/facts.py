"""Gathers what preflight judges: folders, drives, cards and packages of this machine as they are now."""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path

from tunekit.backends.processes import is_alive
from tunekit.errors import UsageError
from tunekit.launcher.caller import Caller, missing_modules
from tunekit.launcher.environment import extensions_dir, pins_exactly
from tunekit.launcher.ops import BUILD_BYTES, missing_ops, needed_ops
from tunekit.launcher.preflight import Facts, Machine, Mount, Need
from tunekit.launcher.run_dir import RunDir
from tunekit.launcher.state import holds_work, is_run, read_status
from tunekit.planner.plan import Plan
from tunekit.recipe.data_check import check_data

_BASE_MODEL = "base model"
_SWAP_FILES = "swap files of NVMe offload"
"""Names of the plan's disk terms that do not lie in the run directory."""


def gather_facts(
    plan: Plan,
    *,
    run_dir: RunDir,
    caller: Caller,
    machine: Machine,
    model_bytes_to_fetch: int = 0,
    resumes: bool = False,
) -> Facts:
    """Look at everything that `plan` needs here. Writes nothing that stays."""
    to_build = ops_to_build(plan, caller)
    return Facts(
        machine=machine,
        missing_modules=_missing_modules(plan),
        output_fault=output_fault(run_dir, resumes=resumes),
        needs=_needs(plan, run_dir, caller, model_bytes_to_fetch, BUILD_BYTES if to_build else 0),
        shm_free_bytes=_free("/dev/shm"),
        nvme_fault=nvme_fault(plan),
        data_fault=data_fault(plan),
        build_fault=build_fault(to_build, caller),
    )


def ops_to_build(plan: Plan, caller: Caller) -> tuple[str, ...]:
    """The DeepSpeed ops that the plan needs and that are not built here yet."""
    ops = needed_ops(plan.job, pins_exactly=pins_exactly(plan, caller))
    return missing_ops(extensions_dir(caller), ops)


def output_fault(run_dir: RunDir, *, resumes: bool = False) -> str | None:
    """Why the output folder cannot be used, with what to type; None when it can.

    A folder that holds only an attempt that never trained may be used again: that attempt is kept as `attempt_N`.
    """
    path = run_dir.path
    if is_alive(run_dir):
        return f"{path} holds a run that is going on; `tunekit logs -f {path}` shows it, `tunekit stop {path}` ends it."
    if not resumes and path.exists() and (not path.is_dir() or any(path.iterdir())):
        fault = _occupied(run_dir)
        if fault is not None:
            return fault
    return _unwritable(path)


def _occupied(run_dir: RunDir) -> str | None:
    path = run_dir.path
    other = f"for a new run set output.dir={_free_name(path)}"
    if not path.is_dir():
        return f"output.dir {path} is a file; {other}."
    if not is_run(run_dir):
        return f"output.dir {path} is not empty and is not a run of tunekit; nothing in it is overwritten: {other}."
    if not holds_work(run_dir):
        return None
    status = read_status(run_dir, alive=False)
    progress = f", step {status.step} of {status.max_steps}" if status.step else ""
    go_on = "" if status.state == "done" else f"to go on with it type `tunekit resume {path}`; "
    holds = f"output.dir {path} already holds a run ({status.state}{progress})"
    return f"{holds}; nothing in it is overwritten: {go_on}{other}."


def _free_name(path: Path) -> Path:
    number = 2
    while (candidate := path.with_name(f"{path.name}-{number}")).exists():
        number += 1
    return _short(candidate)


def _short(path: Path) -> Path:
    """Relative to the current folder where it lies below it, as a person would type it."""
    return path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path


def _unwritable(path: Path) -> str | None:
    parent = _nearest_existing(path)
    try:
        with tempfile.TemporaryFile(dir=parent):
            return None
    except OSError as error:
        return (
            f"output.dir {path}: {parent} cannot be written ({error.strerror}); set output.dir to a folder of your own."
        )


def nvme_fault(plan: Plan) -> str | None:
    """Why NVMe offload would fail here, or None."""
    zero = plan.job.zero
    if "nvme" not in (zero.offload_optimizer, zero.offload_param):
        return None
    if zero.nvme_path is None:
        return "nvme offload needs a folder on a local drive: set zero.nvme_path=/path/on/nvme."
    parent = _nearest_existing(Path(zero.nvme_path))
    if not os.access(parent, os.W_OK):
        return (
            f"zero.nvme_path {zero.nvme_path}: {parent} cannot be written; set zero.nvme_path to a folder of your own."
        )
    return None


def data_fault(plan: Plan) -> str | None:
    """Why the data on this disk cannot be learned from: empty, broken, or without the expected columns; else None."""
    try:
        check_data(plan.recipe.data)
    except UsageError as error:
        return str(error)
    return None


def build_fault(ops: tuple[str, ...], caller: Caller) -> str | None:
    """What is missing to compile `ops`, with what to type; None where nothing is to be built or all is there."""
    if not ops:
        return None
    import sysconfig

    checks = (
        (shutil.which(caller.environ.get("CXX", "c++")) is None, "a C++ compiler (apt install g++)"),
        (not Path(sysconfig.get_paths()["include"], "Python.h").is_file(), "Python.h (apt install python3-dev)"),
        ("async_io" in ops and not _header_exists("libaio.h"), "libaio.h (apt install libaio-dev)"),
    )
    missing = [what for absent, what in checks if absent]
    if not missing:
        return None
    return f"DeepSpeed's {', '.join(ops)} must be compiled once, but these are not here: {'; '.join(missing)}."


def _header_exists(name: str) -> bool:
    folders = [Path("/usr/include"), Path("/usr/local/include")]
    folders += [Path(part) for part in os.environ.get("CPATH", "").split(":") if part]
    return any((folder / name).is_file() for folder in folders)


def _missing_modules(plan: Plan) -> tuple[str, ...]:
    from importlib.util import find_spec

    missing = missing_modules()
    wants_wandb = "wandb" in plan.recipe.tracking and find_spec("wandb") is None
    return (*missing, "wandb") if wants_wandb else missing


def _needs(plan: Plan, run_dir: RunDir, caller: Caller, model_bytes: int, build_bytes: int) -> tuple[Need, ...]:
    cache = Path(caller.environ.get("HF_HOME") or caller.cache_dir.parent)
    return (
        Need(what="checkpoints and result", mount=_mount(run_dir.path), bytes=_written_bytes(plan)),
        Need(what="model download", mount=_mount(cache), bytes=model_bytes),
        Need(what="compiled ops", mount=_mount(extensions_dir(caller)), bytes=build_bytes),
        *_swap_need(plan),
    )


def _written_bytes(plan: Plan) -> int:
    """Checkpoints and the result: what the plan counts on disk, less the model's own files and the swap files."""
    others = (_BASE_MODEL, _SWAP_FILES)
    return sum(term.disk_bytes for term in plan.memory.terms if term.name not in others)


def _swap_need(plan: Plan) -> tuple[Need, ...]:
    swap = sum(term.disk_bytes for term in plan.memory.terms if term.name == _SWAP_FILES)
    if not swap or plan.job.zero.nvme_path is None:
        return ()
    return (Need(what="swap files", mount=_mount(Path(plan.job.zero.nvme_path)), bytes=swap),)


def _mount(path: Path) -> Mount:
    parent = _nearest_existing(path)
    return Mount(path=str(path), device=parent.stat().st_dev, free_bytes=shutil.disk_usage(parent).free)


def _nearest_existing(path: Path) -> Path:
    return next(parent for parent in (path, *path.absolute().parents) if parent.is_dir())


def _free(path: str) -> int:
    return shutil.disk_usage(path).free if Path(path).is_dir() else 0
