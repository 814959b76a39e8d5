"""`Hardware`: what a job runs on. Sizes in bytes, rates in bytes or operations per second."""

from __future__ import annotations

from dataclasses import dataclass

from tunekit.hardware.calibration import Calibration

NO_GPU = "no GPU"
"""What stands for the cards in the name of a machine without any."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Gpu:
    """One card. `memory_bytes` is what the driver reports, `usable_bytes` what a planner may fill."""

    name: str
    memory_bytes: int
    usable_bytes: int
    bf16_tflops: float
    """Dense bf16 peak with fp32 accumulation, 1e12 operations per second."""
    memory_bandwidth: int
    compute_capability: float
    """8.9 for Ada; bf16 needs 8.0."""
    power_watts: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Link:
    """How the cards talk to the host and to each other."""

    pcie_generation: int
    pcie_lanes: int
    nvlink: bool
    p2p: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Host:
    """The machine around the cards."""

    cpu: str
    cores: int
    """Physical cores."""
    ram_bytes: int
    usable_ram_bytes: int
    """What a planner may fill: RAM less firmware, operating system and page cache."""
    ram_bandwidth: int
    memlock_unlimited: bool = False
    """Whether a process may lock any amount of RAM (`ulimit -l`): then DeepSpeed pins it without torch's rounding."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Disk:
    """One drive. `usable_bytes` is what a planner may fill."""

    name: str
    total_bytes: int
    usable_bytes: int
    read_rate: int
    write_rate: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Hardware:
    """A machine. Without GPUs the job runs on `cpu_processes` CPU processes and the host holds everything."""

    name: str
    description: str
    gpus: tuple[Gpu, ...]
    link: Link | None
    host: Host
    disks: tuple[Disk, ...]
    """The first disk holds the caches and the run directory; NVMe offload may name another."""
    cpu_processes: int = 2
    source: str = ""
    """Where the numbers come from: data sheets, a measurement, a probe."""
    calibration: Calibration | None = None
    """What runs on this machine measured; profiles of other machines have none."""

    @property
    def world_size(self) -> int:
        """Processes that train: one per GPU, or `cpu_processes`."""
        return len(self.gpus) or self.cpu_processes

    @property
    def parts(self) -> str:
        """The cards and the processor by name: what decides a calibration. Twins have one name."""
        cards = " / ".join(sorted({gpu.name for gpu in self.gpus})) or NO_GPU
        return f"{cards}, {self.host.cpu}"
