"""The LLaMA-Factory VRAM table as a judge."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class TableCheck:
    """The row and cell used, the demand it implies for this plan, and whether the machine meets it.

    `cell_gb` is the interpolated cell in GB (1e9 bytes), as the table prints it. Demands are bytes per device and per host.
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
