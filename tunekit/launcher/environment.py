"""The environment of the ranks: what every process of a run gets, and what it must not inherit. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from hashlib import sha256
from pathlib import Path

from tunekit.hardware.spec import Hardware
from tunekit.launcher.caller import Caller
from tunekit.planner.plan import Plan

ATTEMPT_VARIABLE = "TUNEKIT_ATTEMPT"
RUN_VARIABLE = "TUNEKIT_RUN"

STRAY = (
    "CROSS_RANK",
    "CROSS_SIZE",
    "CUDA_VISIBLE_DEVICES",
    "GROUP_RANK",
    "KMP_AFFINITY",
    "LOCAL_RANK",
    "LOCAL_SIZE",
    "LOCAL_WORLD_SIZE",
    "MASTER_ADDR",
    "MASTER_PORT",
    "RANK",
    "ROLE_RANK",
    "WORLD_SIZE",
)
"""Left by other launchers; the first reader of such a variable would join a group that does not exist."""
STRAY_PREFIXES = ("ACCELERATE_", "FSDP_", "OMPI_", "PMI_", "TORCHELASTIC_")

_KEPT = (
    "CUDA_DEVICE_ORDER",
    "DEEPSPEED_TIMEOUT",
    "DS_PIN_MEMORY_BACKEND",
    "NCCL_IB_DISABLE",
    "NCCL_P2P_DISABLE",
    "OMP_NUM_THREADS",
    "ONEDNN_PRIMITIVE_CACHE_CAPACITY",
    "PYTORCH_ALLOC_CONF",
    "PYTORCH_CUDA_ALLOC_CONF",
    "TORCH_EXTENSIONS_DIR",
    "WANDB_MODE",
)
"""Where the caller has set one of these, the caller's value stands: the way to opt out."""

COLLECTIVE_TIMEOUT_MINUTES = 120
"""DeepSpeed's own 10 minutes end a run in which rank 0 still tokenises a large data set."""

CPU_KERNELS_KEPT = 64
"""Compiled CPU kernels per rank; oneDNN keeps 1024, and every new row length brings new ones.

Measured on SmolLM2-135M LoRA, two ranks, 14 steps: 2.8 instead of 3.1 GiB of RAM at the same speed (2.4 s a step).
Fixed glibc thresholds (MALLOC_MMAP_THRESHOLD_=128 KiB) save 0.7 GiB but cost 40 % of the speed: not set.
"""


def worker_environment(
    plan: Plan, caller: Caller, *, run_dir: str, attempt: int = 1, offline: bool = True
) -> dict[str, str]:
    """The variables set beyond the caller's environment, sorted by name. `offline`: model and data are on this disk."""
    chosen = {
        ATTEMPT_VARIABLE: str(attempt),
        RUN_VARIABLE: run_dir,
        "OMP_NUM_THREADS": str(threads_per_rank(plan)),
        "PATH": path_with_environment_first(caller),
        "TORCH_EXTENSIONS_DIR": str(extensions_dir(caller)),
        **_always(),
        **_accelerator(plan),
        **link_variables(plan.hardware),
        **_allocators(plan, caller),
        **(_offline() if offline else {}),
        **_trackers(plan, caller, run_dir),
    }
    kept = {name: caller.environ[name] for name in _KEPT if name in chosen and name in caller.environ}
    return dict(sorted({**chosen, **kept}.items()))


def stray_variables(environ: Mapping[str, str]) -> tuple[str, ...]:
    """The variables to remove: always the known ones, and what the caller has of the known families."""
    families = {name for name in environ if name.startswith(STRAY_PREFIXES)}
    return tuple(sorted({*STRAY, *families}))


def threads_per_rank(plan: Plan) -> int:
    """Physical cores shared evenly; more threads than cores is slower, and unset means all cores for every rank."""
    return max(1, plan.hardware.host.cores // plan.job.batch.world_size)


def extensions_dir(caller: Caller) -> Path:
    """Where DeepSpeed's compiled ops lie: a folder per Python, torch, DeepSpeed and environment, never shared."""
    if folder := caller.environ.get("TORCH_EXTENSIONS_DIR"):
        return Path(folder)
    tag = "cp" + "".join(caller.python_version.split(".")[:2])
    torch, deepspeed = (caller.versions.get(name) or "none" for name in ("torch", "deepspeed"))
    place = sha256(caller.prefix.encode()).hexdigest()[:8]
    return caller.cache_dir / "ops" / f"{tag}-torch{torch}-deepspeed{deepspeed}-{place}"


def path_with_environment_first(caller: Caller) -> str:
    """PATH with the environment's scripts first, so that the ops find this environment's ninja."""
    rest = [part for part in caller.environ.get("PATH", "/usr/bin:/bin").split(":") if part != caller.bin_dir]
    return ":".join([caller.bin_dir, *rest])


def needs_no_p2p(hardware: Hardware) -> bool:
    """More than one GeForce 40 card, or cards without peer access: NCCL must go through host memory.

    accelerate refuses RTX 40 pairs on older drivers unless both variables are set, and early drivers report a
    peer access that hangs (NVIDIA/nccl-tests issue 117).
    """
    if len(hardware.gpus) < 2:
        return False
    geforce_40 = any("RTX 40" in gpu.name for gpu in hardware.gpus)
    return geforce_40 or (hardware.link is not None and not hardware.link.p2p)


def pins_exactly(plan: Plan, caller: Caller) -> bool:
    """Whether DeepSpeed's own pinned allocator is used.

    torch's rounds every block up to a power of two (pytorch issue 95823); DeepSpeed's is exact but needs mlock.
    """
    offloads = (plan.job.zero.offload_optimizer, plan.job.zero.offload_param) != ("none", "none")
    return plan.job.accelerator == "cuda" and offloads and plan.job.zero.pin_memory and caller.memlock_unlimited


def _always() -> dict[str, str]:
    return {
        "DEEPSPEED_TIMEOUT": str(COLLECTIVE_TIMEOUT_MINUTES),
        # A crash in native code leaves a Python traceback in the rank's log.
        "PYTHONFAULTHANDLER": "1",
        # A file named like a library in the user's folder must not be imported in its place.
        "PYTHONSAFEPATH": "1",
        "PYTHONUNBUFFERED": "1",
        "TOKENIZERS_PARALLELISM": "false",
    }


def _accelerator(plan: Plan) -> dict[str, str]:
    if plan.job.accelerator == "cpu":
        return {"DS_ACCELERATOR": "cpu", "ONEDNN_PRIMITIVE_CACHE_CAPACITY": str(CPU_KERNELS_KEPT)}
    return {"CUDA_DEVICE_ORDER": "PCI_BUS_ID", "DS_ACCELERATOR": "cuda"}


def link_variables(hardware: Hardware) -> dict[str, str]:
    """What keeps NCCL off roads that cards of this machine do not have."""
    return {"NCCL_IB_DISABLE": "1", "NCCL_P2P_DISABLE": "1"} if needs_no_p2p(hardware) else {}


def _allocators(plan: Plan, caller: Caller) -> dict[str, str]:
    chosen: dict[str, str] = {}
    if plan.job.accelerator == "cuda":
        chosen[_allocator_variable(caller)] = "expandable_segments:True"
    if pins_exactly(plan, caller):
        chosen["DS_PIN_MEMORY_BACKEND"] = "native"
    return chosen


def _allocator_variable(caller: Caller) -> str:
    """torch 2.9 renamed the variable and warns about the old name."""
    parts = (caller.versions.get("torch") or "2.13").split(".")
    old = (int(parts[0]), int(parts[1])) < (2, 9)
    return "PYTORCH_CUDA_ALLOC_CONF" if old else "PYTORCH_ALLOC_CONF"


def _offline() -> dict[str, str]:
    return {"HF_DATASETS_OFFLINE": "1", "HF_HUB_OFFLINE": "1", "TRANSFORMERS_OFFLINE": "1"}


def _trackers(plan: Plan, caller: Caller, run_dir: str) -> dict[str, str]:
    if "wandb" not in plan.recipe.tracking:
        return {}
    # Without a key W&B asks on the terminal, which nobody answers in a rank.
    return {"WANDB_DIR": run_dir} | ({} if caller.wandb_logged_in else {"WANDB_MODE": "offline"})
