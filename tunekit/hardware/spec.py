"""`Hardware`: what a job runs on. Sizes in bytes, rates in bytes or operations per second."""

from __future__ import annotations

from dataclasses import dataclass

from tunekit.hardware.calibration import Calibration

NO_GPU = "no GPU"
"""What stands for the cards in the name of a machine without any."""
LANE_RATE = {1: 0.25, 2: 0.5, 3: 0.985, 4: 1.969, 5: 3.938, 6: 7.563}
"""GB/s of one lane, one way, by generation of PCIe, less its encoding (PCI-SIG)."""


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
    """Of the card with the fewest: every collective waits for it."""
    nvlink: bool
    p2p: bool
    card_lanes: tuple[int, ...] = ()
    """Lanes of each card where they differ, as on boards with x16 + x4."""
    nvlink_rate: int = 0
    """Bytes per second that a card sends while it receives as many: half of what data sheets say; 0 without NVLink."""

    @property
    def pcie_rate(self) -> int:
        """Bytes per second that the narrowest slot carries one way, before its protocol."""
        return round(self.pcie_lanes * LANE_RATE.get(self.pcie_generation, LANE_RATE[3]) * 1e9)


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
    """What programs reach, not the modules' peak."""
    vector_bits: int = 256
    """Width of one vector instruction: 512 with AVX-512, 256 with AVX2. CPU Adam is built for it."""
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
    """Sustained: what the drive keeps up once its cache is full."""
    endurance_bytes: int | None = None
    """What the maker allows to be written in the drive's life (TBW); None where nobody said."""
    price: float | None = None
    """To buy another, in the currency of the machine's price (USD without one); None where nobody said."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Power:
    """What the machine draws, in watts; a card's own peak is `Gpu.power_watts`."""

    host_watts: int
    """CPU, RAM, board and drives at their peak."""
    load_watts: int
    """At the wall while all cards train."""
    supply_watts: int | None = None
    """What the power supplies are rated for; None where nobody said, as for rented machines."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Price:
    """What the machine costs to buy."""

    amount: float
    currency: str
    """Three letters of ISO 4217."""
    date: str
    """Day or month of the price, ISO."""
    note: str = ""
    """Whose price it is, or how it was added up."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """What `tunekit hardware probe` measured, bytes per second; None where it could not. RAM and drives have theirs.

    Each stands in place of what the speed model derives from data sheets.
    """

    date: str
    matmul_tflops: float | None = None
    """Large bf16 matrix products on the slowest card, 1e12 operations per second."""
    to_gpu_rate: int | None = None
    """Pinned RAM to one card."""
    from_gpu_rate: int | None = None
    peer_rate: int | None = None
    """One card to another, whichever way the driver takes."""
    all_gather_rate: int | None = None
    """Received per rank: (ranks - 1) / ranks of the gathered bytes, by the time it takes."""
    all_reduce_rate: int | None = None
    """Bus bandwidth as NCCL's tests define it: 2 (ranks - 1) / ranks of the bytes, by the time it takes."""
    adam_fp32_rate: float | None = None
    """Parameters per second that the whole CPU updates with fp32 weights, gradients and moments."""
    adam_bf16_rate: float | None = None
    """The same with all of them in bf16."""
    adam: str = ""
    """Which Adam was timed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Hardware:
    """A machine. Without GPUs the job runs on `cpu_processes` CPU processes and the host holds everything."""

    name: str
    description: str
    gpus: tuple[Gpu, ...]
    link: Link | None
    host: Host
    disks: tuple[Disk, ...]
    """The first holds the caches and the run directory."""
    cpu_processes: int = 2
    source: str = ""
    """Where the numbers come from: data sheets, a measurement, a probe."""
    calibration: Calibration | None = None
    """What runs on this machine measured; profiles of other machines have none."""
    power: Power | None = None
    price: Price | None = None
    """To buy it; None for machines that are rented."""
    measured: Measured | None = None

    @property
    def world_size(self) -> int:
        """Processes that train: one per GPU, or `cpu_processes`."""
        return len(self.gpus) or self.cpu_processes

    @property
    def swap_disk(self) -> Disk | None:
        """The drive that NVMe offload is counted with: that of the fastest writes, the first of equal ones.

        Which drive a folder lies on is not known of another machine. Everything else is counted on the first.
        """
        return max(self.disks, key=lambda disk: disk.write_rate, default=None)

    @property
    def currency(self) -> str:
        """What the prices of the machine and its drives are in."""
        return self.price.currency if self.price else "USD"

    @property
    def parts(self) -> str:
        """The cards and the processor by name: what decides a calibration. Twins have one name."""
        cards = " / ".join(sorted({gpu.name for gpu in self.gpus})) or NO_GPU
        return f"{cards}, {self.host.cpu}"
