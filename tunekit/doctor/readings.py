"""What was read of this machine for the doctor, as values; reading them is the probes' work. Sizes in bytes."""

from __future__ import annotations

from dataclasses import dataclass

from tunekit.launcher.toolchain import Toolchain


@dataclass(frozen=True, slots=True, kw_only=True)
class Holder:
    """A process that holds memory of a card."""

    pid: int
    name: str
    bytes: int | None
    """None where the driver does not say, as in containers."""
    orphan: bool = False
    """Its parent is gone: nobody waits for it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Card:
    """A card that may be used, as it is now; what the driver does not tell is None."""

    index: int
    name: str
    total_bytes: int
    free_bytes: int
    compute_capability: float
    power_watts: int | None = None
    temperature: int | None = None
    lanes: int | None = None
    generation: int | None = None
    holders: tuple[Holder, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Cards:
    """The cards and their driver. `missing` says why NVML shows none."""

    shown: tuple[Card, ...] = ()
    uuids: tuple[str, ...] = ()
    """Of all cards, in the driver's order."""
    driver: str | None = None
    peers: bool = False
    """Whether every card reaches every other, as the driver says."""
    missing: str = ""
    on_the_bus: int = 0
    """NVIDIA display controllers on the PCI bus, whether the driver works or not."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Surroundings:
    """Where the command runs."""

    container: str = ""
    """docker, podman, kubernetes or another; empty outside."""
    wsl: bool = False
    notebook: bool = False
    ssh: bool = False
    multiplexer: bool = False
    """tmux or screen."""
    hostfile: bool = False
    """Whether /job/hostfile is there."""
    deepspeed_env: str = ""
    """A .deepspeed_env that DeepSpeed would read on several machines only."""
    kernel_command_line: str = ""
    iommu_groups: int = 0
    xids: tuple[str, ...] | None = None
    """Lines of the kernel's log about errors of cards since the start; None where it may not be read."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HostMemory:
    """RAM of this process's world. `limit` is the cgroup's, or None; `memlock` what it may lock, None for all of it."""

    total: int
    available: int
    limit: int | None = None
    swap_total: int = 0
    swap_free: int = 0
    shm_total: int = 0
    shm_free: int = 0
    memlock: int | None = None
    address_space: int | None = None
    """What one process may map; None for no limit."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """Who is told of a run. `fault`: why a launch refuses; `missing`: programs that are not there."""

    fault: str = ""
    missing: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """A folder that is written to, and the drive it lies on."""

    what: str
    path: str
    free_bytes: int
    file_system: str
    """ext4, xfs, overlay, tmpfs, nfs, …"""
    free_inodes: int | None = None
    """None where the file system does not count them."""
    direct: bool | None = None
    """Whether it takes O_DIRECT; None where that was not tried."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OpCache:
    """The folder of DeepSpeed's compiled ops. The names are those of the ops' folders in it."""

    folder: str
    file_system: str
    built: tuple[str, ...] = ()
    foreign: tuple[str, ...] = ()
    """Built, but not for this processor and the packages as they are installed, or by somebody else."""
    stale_locks: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelFiles:
    """The recipe's model on this disk."""

    folder: str = ""
    """A whole folder that transformers can load; empty where there is none."""
    gguf: str = ""
    """The .gguf that is still to be converted."""
    weight_bytes: int = 0
    pickle: bool = False
    """Whether the weights are pickles (.bin), which can hold code."""
    fault: str = ""
    """Why it cannot be had: damaged, gated, or no network."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Readings:
    """Everything that was read of this machine."""

    cards: Cards
    surroundings: Surroundings
    memory: HostMemory
    places: tuple[Place, ...]
    """Where the run writes, or without a recipe would write: output, caches, temporary files, swap files of NVMe."""
    toolchain: Toolchain
    ops: OpCache
    missing_modules: tuple[str, ...] = ()
    version_faults: tuple[str, ...] = ()
    torch_cuda: str | None = None
    """What torch is built for; None for the processor, or where it is not installed."""
    nvcc: str | None = None
    """Version of the CUDA compiler."""
    model: ModelFiles | None = None
    """None without a recipe."""
    told: Told = Told()
    data_bytes: int | None = None
