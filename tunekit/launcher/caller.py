"""`Caller`: the Python environment and the shell that launch, as a value, so that what follows from it is pure."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path

PACKAGES = (
    "tunekit",
    "torch",
    "transformers",
    "trl",
    "peft",
    "accelerate",
    "datasets",
    "deepspeed",
    "bitsandbytes",
)
"""The distributions whose versions a run records."""

TRAIN_MODULES = (
    "torch",
    "transformers",
    "trl",
    "peft",
    "accelerate",
    "datasets",
    "deepspeed",
    "bitsandbytes",
    "tensorboard",
    "ninja",
)
"""What the extra `train` brings, by import name."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Caller:
    """Who launches. `versions` maps a distribution to its version, or None where it is not installed."""

    executable: str
    prefix: str
    python_version: str
    environ: Mapping[str, str]
    versions: Mapping[str, str | None]
    cwd: str
    has_deepspeed_script: bool
    has_numactl: bool
    memlock_unlimited: bool
    wandb_logged_in: bool
    cores_restricted: bool
    """True where this process may use only some of the machine's cores (cpuset, taskset)."""

    @property
    def bin_dir(self) -> str:
        """Folder of the environment's scripts: ninja and deepspeed lie there."""
        return str(Path(self.executable).parent)

    @property
    def cache_dir(self) -> Path:
        """`$XDG_CACHE_HOME/tunekit`, or `~/.cache/tunekit`."""
        named = self.environ.get("XDG_CACHE_HOME")
        cache = Path(named) if named else Path(self.environ.get("HOME") or "~").expanduser() / ".cache"
        return cache / "tunekit"


def this_caller() -> Caller:
    """The process that runs now."""
    return Caller(
        executable=sys.executable,
        prefix=sys.prefix,
        python_version=".".join(str(part) for part in sys.version_info[:3]),
        environ=dict(os.environ),
        versions={name: _version(name) for name in PACKAGES},
        cwd=os.getcwd(),
        has_deepspeed_script=(Path(sys.executable).parent / "deepspeed").is_file(),
        has_numactl=shutil.which("numactl") is not None,
        memlock_unlimited=_memlock_unlimited(),
        wandb_logged_in=_wandb_logged_in(),
        cores_restricted=len(os.sched_getaffinity(0)) < (os.cpu_count() or 1),
    )


def missing_modules() -> tuple[str, ...]:
    """Modules of the extra `train` that cannot be found; nothing is imported."""
    return tuple(name for name in TRAIN_MODULES if find_spec(name) is None)


def _version(distribution: str) -> str | None:
    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return None


def _memlock_unlimited() -> bool:
    import resource

    return resource.getrlimit(resource.RLIMIT_MEMLOCK)[0] == resource.RLIM_INFINITY


def _wandb_logged_in() -> bool:
    netrc = Path("~/.netrc").expanduser()
    return "WANDB_API_KEY" in os.environ or (netrc.is_file() and "api.wandb.ai" in netrc.read_text(errors="replace"))
