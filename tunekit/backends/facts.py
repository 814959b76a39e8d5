"""Gathers what preflight judges: folders, drives, cards and packages of this machine as they are now."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterable, Iterator
from importlib.util import find_spec
from pathlib import Path

from tunekit import hub
from tunekit.backends.output import nearest_existing, output_fault, write_fault
from tunekit.backends.toolchain import read_toolchain
from tunekit.errors import MissingError, UsageError
from tunekit.launcher.caller import Caller, missing_modules
from tunekit.launcher.checkpoints import bytes_below
from tunekit.launcher.devices import VARIABLE, chosen_devices
from tunekit.launcher.environment import extensions_dir, pins_exactly
from tunekit.launcher.ops import BUILD_BYTES, locked_ops, missing_ops, needed_ops
from tunekit.launcher.ports import port_fault
from tunekit.launcher.preflight import Facts, Fault, Machine, Mount, Need
from tunekit.launcher.run_dir import RunDir
from tunekit.launcher.toolchain import toolchain_fault
from tunekit.launcher.versions import torch_fault, version_faults
from tunekit.memory.terms import LATER
from tunekit.planner.plan import Plan
from tunekit.recipe.data_check import check_data_file
from tunekit.recipe.schema import DataSection
from tunekit.recipe.shipped import existing_path

_BASE_MODEL = "base model"
_SWAP_FILES = "swap files of NVMe offload"
_CHECKPOINTS = "checkpoints"
"""Names of the plan's disk terms; the first two do not lie in the run directory."""


def gather_facts(
    plan: Plan,
    *,
    run_dir: RunDir,
    caller: Caller,
    machine: Machine,
    model_bytes_to_fetch: int = 0,
    wanted_port: int | None = None,
    resumes: bool = False,
) -> Facts:
    """Look at everything that `plan` needs here. Writes nothing that stays."""
    to_build = ops_to_build(plan, caller)
    folders = _cache_folders(plan, caller, fetches=model_bytes_to_fetch > 0, builds=bool(to_build))
    return Facts(
        machine=machine,
        missing_modules=_missing_modules(plan),
        version_faults=version_faults_here(plan, caller, cards_here=bool(machine.gpu_uuids)),
        output_fault=output_fault(run_dir, resumes=resumes),
        data_faults=data_faults(plan.recipe.data),
        port_fault=None if wanted_port is None else port_fault(wanted_port),
        devices_fault=devices_fault(plan, caller, machine),
        needs=_needs(plan, run_dir, caller, model_bytes_to_fetch, BUILD_BYTES if to_build else 0),
        shm_free_bytes=_free("/dev/shm"),
        nvme_fault=nvme_fault(plan),
        attention_fault=attention_fault(plan),
        build_fault=build_fault(to_build, caller, on_cards=plan.job.accelerator == "cuda"),
        cache_faults=tuple(_cache_faults(folders)),
    )


def ops_to_build(plan: Plan, caller: Caller) -> tuple[str, ...]:
    """The DeepSpeed ops that the plan needs and that are not built here, or locked: ranks would wait for ever."""
    folder, ops = extensions_dir(caller), needed_ops(plan.job, pins_exactly=pins_exactly(plan, caller))
    wanted = {*missing_ops(folder, ops), *locked_ops(folder, ops)}
    return tuple(op for op in ops if op in wanted)


def nvme_fault(plan: Plan) -> str | None:
    """Why NVMe offload would fail here, or None."""
    zero = plan.job.zero
    if "nvme" not in (zero.offload_optimizer, zero.offload_param):
        return None
    if zero.nvme_path is None:
        return "nvme offload needs a folder on a local drive: set zero.nvme_path=/path/on/nvme."
    fault = write_fault(Path(zero.nvme_path))
    return (
        None
        if fault is None
        else (f"zero.nvme_path {zero.nvme_path}: {fault}; set zero.nvme_path to a folder of your own.")
    )


def data_faults(data: DataSection) -> tuple[str, ...]:
    """Why the data cannot be learned from: not there, empty, broken, or without the expected columns.

    What lies on the hub waits until it is fetched.
    """
    named = (("data.path", data.path), ("data.eval_path", data.eval_path))
    found = (_data_fault(key, path, data) for key, path in named if path is not None)
    return tuple(fault for fault in found if fault is not None)


def _data_fault(key: str, path: str, data: DataSection) -> str | None:
    try:
        hub.check_data_path(path, key=key)
        here = existing_path(path)
        if here is not None:
            check_data_file(here, data)
    except UsageError as error:
        return str(error)
    except OSError as error:
        return f"{key}: {path} cannot be read ({error.strerror})."
    return None


def devices_fault(plan: Plan, caller: Caller, machine: Machine) -> Fault | None:
    """Why the cards that CUDA_VISIBLE_DEVICES leaves over cannot be used, where the machine has enough of them."""
    if plan.job.accelerator == "cpu" or len(machine.gpu_uuids) < len(plan.hardware.gpus):
        return None
    try:
        chosen_devices(caller.environ.get(VARIABLE), plan.job.batch.world_size, machine.gpu_uuids)
    except UsageError as error:
        return Fault(kind="usage", check="visible_devices", text=str(error))
    except MissingError as error:
        return Fault(kind="missing", check="visible_devices", text=str(error))
    return None


def build_fault(ops: tuple[str, ...], caller: Caller, *, on_cards: bool) -> str | None:
    """What is missing to compile `ops`, with what to type; None where nothing is to be built or all is there."""
    return toolchain_fault(ops, read_toolchain(caller), on_cards=on_cards) if ops else None


def attention_fault(plan: Plan) -> str | None:
    """flash_attention_2 needs a package that has no place in the extra `train`: it is compiled for one torch."""
    if plan.job.attention != "flash_attention_2" or find_spec("flash_attn") is not None:
        return None
    return (
        "model.attention=flash_attention_2 needs the package flash-attn, which is not installed; "
        "pip install flash-attn --no-build-isolation, or set model.attention=sdpa."
    )


def version_faults_here(plan: Plan, caller: Caller, *, cards_here: bool) -> tuple[str, ...]:
    """What is too old, and a torch that cannot use the cards that are here for the plan."""
    faults = version_faults(caller.python_version, caller.versions)
    if plan.job.accelerator != "cuda" or not cards_here:
        return faults
    fault = torch_fault(torch_cuda(), version=caller.versions.get("torch"))
    return (*faults, fault) if fault else faults


def torch_cuda() -> str | None:
    """The CUDA (or ROCm) version that torch is built for, read from its file; None without. Imports nothing."""
    spec = find_spec("torch")
    file = Path(spec.origin).with_name("version.py") if spec and spec.origin else None
    text = file.read_text(encoding="utf-8") if file and file.is_file() else ""
    found = re.search(r"^(?:cuda|hip)[^=\n]*= *'([^']+)'", text, re.MULTILINE)
    return found[1] if found else None


def _missing_modules(plan: Plan) -> tuple[str, ...]:
    missing = missing_modules()
    wants_wandb = "wandb" in plan.recipe.tracking and find_spec("wandb") is None
    return (*missing, "wandb") if wants_wandb else missing


def _needs(plan: Plan, run_dir: RunDir, caller: Caller, model_bytes: int, build_bytes: int) -> tuple[Need, ...]:
    return (
        Need(
            what="checkpoints and result",
            setting="output.dir",
            mount=_mount(run_dir.path),
            bytes=_written_bytes(plan) - _kept_bytes(plan, run_dir),
        ),
        Need(
            what="model download", setting="HF_HOME", mount=_mount(hub.hub_of(caller.environ).cache), bytes=model_bytes
        ),
        Need(
            what="compiled ops", setting="TORCH_EXTENSIONS_DIR", mount=_mount(extensions_dir(caller)), bytes=build_bytes
        ),
        *_swap_need(plan),
    )


def _written_bytes(plan: Plan) -> int:
    """Checkpoints and the result: what a run writes, less the model's own files and the swap files."""
    others = (_BASE_MODEL, _SWAP_FILES)
    written = (term for term in plan.memory.terms if term.name not in others and not set(term.phases) <= set(LATER))
    return sum(term.disk_bytes for term in written)


def _kept_bytes(plan: Plan, run_dir: RunDir) -> int:
    """Of that, what an earlier attempt has written: as many checkpoints as are kept, not the one more of a save."""
    planned = sum(term.disk_bytes for term in plan.memory.terms if term.name == _CHECKPOINTS)
    return min(bytes_below(run_dir.checkpoints), planned * plan.job.keep_checkpoints // (plan.job.keep_checkpoints + 1))


def _swap_need(plan: Plan) -> tuple[Need, ...]:
    swap = sum(term.disk_bytes for term in plan.memory.terms if term.name == _SWAP_FILES)
    if not swap or plan.job.zero.nvme_path is None:
        return ()
    return (Need(what="swap files", setting="zero.nvme_path", mount=_mount(Path(plan.job.zero.nvme_path)), bytes=swap),)


def _cache_folders(plan: Plan, caller: Caller, *, fetches: bool, builds: bool) -> tuple[tuple[str, Path, str], ...]:
    """(what is written, where, what to set instead) of every folder outside the run directory."""
    hf_home = Path(hub.hub_home(caller.environ))
    data = Path(caller.environ.get("HF_DATASETS_CACHE") or hf_home / "datasets").expanduser()
    folders = [("tokenised data", data, "HF_HOME or HF_DATASETS_CACHE")]
    if fetches:
        folders.append(("the model", hub.hub_of(caller.environ).cache, "HF_HOME"))
    gguf = hub.gguf_source(plan.recipe.model.path)
    if gguf is not None and hub.local_model_dir(plan.recipe.model.path, plan.recipe.model.revision) is None:
        folders.append(("the converted model", hub.converted_gguf_dir(gguf), "XDG_CACHE_HOME"))
    if builds:
        folders.append(("compiled ops", extensions_dir(caller), "TORCH_EXTENSIONS_DIR or XDG_CACHE_HOME"))
    return tuple(folders)


def _cache_faults(folders: Iterable[tuple[str, Path, str]]) -> Iterator[str]:
    for what, path, variable in folders:
        fault = write_fault(path)
        if fault is not None:
            yield f"{what}: {path} is needed, but {fault}; set {variable} to a folder of your own."


def _mount(path: Path) -> Mount:
    parent = nearest_existing(path)
    return Mount(path=str(path), device=parent.stat().st_dev, free_bytes=shutil.disk_usage(parent).free)


def _free(path: str) -> int:
    return shutil.disk_usage(path).free if Path(path).is_dir() else 0
