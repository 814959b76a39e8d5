"""What a probe found, as lines of a table and as JSON. Rates in GB (10^9 bytes), as vendors give them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from tunekit.hardware.probing import Outcome
from tunekit.hardware.spec import Measured
from tunekit.probes.gpus import GpuReport
from tunekit.units import GB, format_bytes

if TYPE_CHECKING:
    from rich.table import Table

TITLES = {
    "ram_bandwidth": "RAM",
    "write_rate": "drive, write",
    "read_rate": "drive, read",
    "matmul_tflops": "matrix products",
    "to_gpu_rate": "RAM to card",
    "from_gpu_rate": "card to RAM",
    "peer_rate": "card to card",
    "all_gather_rate": "all-gather",
    "all_reduce_rate": "all-reduce",
    "adam_fp32_rate": "CPU Adam, fp32",
    "adam_bf16_rate": "CPU Adam, bf16",
}
"""What each rate is called, in the order of the table."""


def probe_table(report: GpuReport, outcomes: Sequence[Outcome]) -> Table:
    """Measurement, rate and how it was measured; or why it was not."""
    from rich.table import Table

    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    table.add_column("measured", no_wrap=True)
    table.add_column("rate", justify="right", no_wrap=True)
    table.add_column("how")
    for row in (*_card_rows(report), *(row for outcome in outcomes for row in _rows(outcome))):
        table.add_row(*row)
    return table


def missing_lines(outcomes: Sequence[Outcome]) -> tuple[str, ...]:
    """What was not measured, and why."""
    return tuple(f"{outcome.title}: {outcome.missing}" for outcome in outcomes if outcome.missing)


def outcomes_as_json(outcomes: Sequence[Outcome]) -> list[dict[str, Any]]:
    """Every measurement with its figures in bytes, operations or parameters per second."""
    return [
        {
            "measurement": outcome.title,
            "found": dict(outcome.found),
            "missing": outcome.missing,
            "seconds": round(outcome.seconds, 2),
        }
        for outcome in outcomes
    ]


def measured_words(measured: Measured) -> str:
    """The rates of a machine that was probed, in one line."""
    rates = ((title, getattr(measured, name, None), name) for name, title in TITLES.items())
    return ", ".join(f"{title} {format_rate(name, value)}" for title, value, name in rates if value)


def format_rate(name: str, value: float) -> str:
    """A rate by its name, with its unit."""
    if name == "matmul_tflops":
        return f"{value:,.1f} TFLOPS" if value >= 10 else f"{value:.2f} TFLOPS"
    if name.startswith("adam"):
        return f"{value / 1e6:,.0f} M parameters/s"
    return f"{value / GB:,.1f} GB/s" if value >= GB else f"{value / GB:.2f} GB/s"


def _card_rows(report: GpuReport) -> Iterator[tuple[str, str, str]]:
    for gpu in report.gpus:
        yield (
            f"GPU {gpu.index} memory",
            f"{format_bytes(gpu.free_bytes)} free",
            f"of {format_bytes(gpu.total_bytes)}, {gpu.name}",
        )
    if not report.gpus:
        yield "GPU", "none", report.missing or ""


def _rows(outcome: Outcome) -> Iterator[tuple[str, str, str]]:
    if outcome.missing:
        yield outcome.title, "-", outcome.missing
        return
    note = str(outcome.found.get("note", ""))
    for name in (name for name in TITLES if name in outcome.found):
        said = outcome.found.get("peer_note", note) if name == "peer_rate" else note
        yield TITLES[name], format_rate(name, outcome.found[name]), said
        note = ""
    for index, (generation, lanes) in enumerate(outcome.found.get("links", ())):
        yield f"GPU {index} link", f"PCIe {generation}.0 x{lanes}", "while it carried the copies"
