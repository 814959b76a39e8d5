"""The LLaMA-Factory VRAM table as a judge."""

from __future__ import annotations

from dataclasses import dataclass

from tunekit.hardware.spec import Hardware
from tunekit.memory.llamafactory_cells import CURRENT, OLDER, ROW_NAMES, Edition, Row
from tunekit.model_shape.shape import ModelShape
from tunekit.recipe.job import Job
from tunekit.units import GB, format_bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class TableCheck:
    """The row and cell used, the demand it implies for this plan, and whether the machine meets it.

    `cell_gb` is the interpolated cell in GB (1e9 bytes), as the table prints it. Demands are bytes per device and host.
    """

    edition: str
    """Date of the table used, e.g. 2025-03-11."""
    row: str
    cell_gb: float
    reading: str
    """How the cell was reached and apportioned, in words with numbers."""
    device_demand_bytes: int
    host_demand_bytes: int
    device_usable_bytes: int
    host_usable_bytes: int
    passes: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Demand:
    """GB on each device and in RAM, and how the cell was divided."""

    device_gb: float
    host_gb: float
    words: str


_SHARES: dict[Row, tuple[int, int, int]] = {"full_amp": (2, 2, 12), "full_16": (2, 2, 4)}
"""Bytes per parameter of weights, gradients and optimizer states behind a full row: a cell is divided as they are."""
_BASE_BYTES: dict[Row, float] = {"lora_16": 2.0, "qlora_8": 1.0, "qlora_4": 0.5}
_LARGEST_DENSE = 70.0


def check_table(job: Job, shape: ModelShape, hardware: Hardware) -> TableCheck:
    """What LLaMA-Factory's table asks of this job on this machine. Pure.

    Full rows are totals: ZeRO divides their weights, gradients and states, offload moves them to RAM. LoRA and QLoRA
    rows are per device, since every device holds the base, unless stage 3 shares it. Without GPUs the host holds all.
    """
    row = table_row(job)
    billions = shape.num_parameters / GB
    edition = edition_for(billions, mixture=bool(shape.num_experts))
    cell, steps = table_cell(edition, row, billions, mixture=bool(shape.num_experts))
    demand = _full_demand(job, row, cell) if job.method == "full" else _adapter_demand(job, row, cell, billions)
    if job.accelerator == "cpu" or not hardware.gpus:
        demand = _all_on_host(job, demand)
    return _check(demand, hardware, edition=edition, row=row, cell=cell, reading=f"{steps}; {demand.words}.")


def table_row(job: Job) -> Row:
    """The row that describes the job: Full 32 keeps 32-bit states, Full 16 (pure_bf16) does not."""
    if job.method == "full":
        return "full_16" if job.zero.bf16_states else "full_amp"
    if job.method == "lora":
        return "lora_16"
    return "qlora_8" if job.quantization and job.quantization.bits == 8 else "qlora_4"


def edition_for(billions: float, *, mixture: bool) -> Edition:
    """The current table, except for mixtures of experts and models above 70B, which only the older one has."""
    return OLDER if mixture or billions > _LARGEST_DENSE else CURRENT


def table_cell(edition: Edition, row: Row, billions: float, *, mixture: bool = False) -> tuple[float, str]:
    """The cell in GB for a model of so many billion parameters, and the words for it.

    Between two columns a straight line through their cells; outside the columns the nearest cell, scaled.
    The `x` formulas of the table are not used: for quantised rows they lie 1.4 to 2.3 times under its own cells.
    """
    sizes, cells = edition.sizes, edition.cells[row]
    if mixture and edition.mixture_cells:
        sizes, cells = edition.mixture_sizes, edition.mixture_cells[row]
    name = f"LLaMA-Factory {edition.date}, {ROW_NAMES[row]}"
    if billions <= sizes[0] or billions >= sizes[-1]:
        near = 0 if billions <= sizes[0] else -1
        cell = cells[near] * billions / sizes[near]
        return (
            cell,
            f"{name}: the {sizes[near]:g}B cell, {cells[near]:g} GB, scaled to {billions:.2f}B is {cell:.1f} GB",
        )
    above = next(index for index, size in enumerate(sizes) if size > billions)
    left, right = sizes[above - 1], sizes[above]
    low, high = cells[above - 1], cells[above]
    cell = low + (high - low) * (billions - left) / (right - left)
    where = f"between {left:g}B ({low:g} GB) and {right:g}B ({high:g} GB)"
    return cell, f"{name}: {where}, {billions:.2f}B is {cell:.1f} GB"


def _full_demand(job: Job, row: Row, cell: float) -> Demand:
    """Divide a total by what ZeRO shares from which stage on: states from 1, gradients from 2, weights from 3."""
    weights, gradients, states = (part * cell / sum(_SHARES[row]) for part in _SHARES[row])
    zero, ranks = job.zero, job.batch.world_size
    host = nvme = 0.0
    if zero.stage > 0 and zero.offload_optimizer != "none":
        swapped = zero.offload_optimizer == "nvme" and zero.stage == 3
        host, nvme = (0.0, gradients + states) if swapped else (gradients + states, 0.0)
        gradients = states = 0.0
    if zero.stage == 3 and zero.offload_param != "none":
        host, nvme = (host + weights, nvme) if zero.offload_param == "cpu" else (host, nvme + weights)
        weights = 0.0
    parts = ((weights, 3), (gradients, 2), (states, 1))
    device = sum(part / ranks if zero.stage >= stage else part for part, stage in parts)
    words = f"a total, of which ZeRO-{zero.stage} on {_ranks(ranks)} leaves {_both(device)} per device"
    return Demand(device_gb=device, host_gb=host, words=f"{words}{_elsewhere(host, nvme)}")


def _ranks(count: int) -> str:
    return "1 rank" if count == 1 else f"{count} ranks"


def _elsewhere(host: float, nvme: float) -> str:
    """What is not on the devices; a drive is no memory, but what it takes must not seem lost."""
    return f", {_both(host)} in RAM and {_both(nvme)} on NVMe" if nvme else f" and {_both(host)} in RAM"


def _both(gb: float) -> str:
    """The table's GB, and the GiB that everything else is shown in."""
    return f"{gb:.1f} GB ({format_bytes(round(gb * GB))})" if gb else "nothing"


def _adapter_demand(job: Job, row: Row, cell: float, billions: float) -> Demand:
    """A cell per device; stage 3 shares it, and offload_param moves the base's own bytes to RAM."""
    zero, ranks = job.zero, job.batch.world_size
    extra, note = _wide_base(job, row, billions)
    whole = cell + extra
    if zero.stage < 3:
        words = f"{note}on each device, which holds the whole base: {_both(whole)}"
        return Demand(device_gb=whole, host_gb=0.0, words=words)
    base = min(whole, _BASE_BYTES[row] * billions + extra) if zero.offload_param != "none" else 0.0
    device = (whole - base) / ranks
    host, nvme = (base, 0.0) if zero.offload_param == "cpu" else (0.0, base)
    words = f"{note}shared by ZeRO-3 over {_ranks(ranks)}, {_both(device)} per device"
    return Demand(device_gb=device, host_gb=host, words=f"{words}{_elsewhere(host, nvme)}")


def _wide_base(job: Job, row: Row, billions: float) -> tuple[float, str]:
    if row == "lora_16" and job.precision == "fp32":
        return 2 * billions, f"plus {2 * billions:.1f} GB because the base is kept in 32 bits, "
    return 0.0, ""


def _all_on_host(job: Job, demand: Demand) -> Demand:
    ranks = job.batch.world_size
    total = ranks * demand.device_gb + demand.host_gb
    holds = "the host holds it" if ranks == 1 else f"the host holds it for all {ranks} ranks"
    words = f"{demand.words}; without GPUs {holds}, {_both(total)}"
    return Demand(device_gb=0.0, host_gb=total, words=words)


def _check(demand: Demand, hardware: Hardware, *, edition: Edition, row: Row, cell: float, reading: str) -> TableCheck:
    device, host = round(demand.device_gb * GB), round(demand.host_gb * GB)
    usable = min((gpu.usable_bytes for gpu in hardware.gpus), default=0)
    ram = hardware.host.usable_ram_bytes
    return TableCheck(
        edition=edition.date,
        row=ROW_NAMES[row],
        cell_gb=round(cell, 2),
        reading=reading,
        device_demand_bytes=device,
        host_demand_bytes=host,
        device_usable_bytes=usable,
        host_usable_bytes=ram,
        passes=device <= usable and host <= ram,
    )
