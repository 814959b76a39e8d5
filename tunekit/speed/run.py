"""What a run of so many optimizer steps takes: hours, kilowatt-hours, and what it writes to the drive."""

from __future__ import annotations

from tunekit.hardware.power import load_watts
from tunekit.hardware.spec import Hardware
from tunekit.speed.terms import Band, RunCost, SpeedEstimate

HOUR = 3600.0
WATTS_BAND = 0.15
"""Cards draw between 375 and 400 of 450 W in published runs; hosts differ more."""


def run_cost(speed: SpeedEstimate, steps: int, hardware: Hardware) -> RunCost:
    """Seconds of a step x steps; kWh at the machine's watts under load; TBW where states are swapped to NVMe."""
    seconds, watts = speed.step_seconds, load_watts(hardware)
    hours = Band(
        low=steps * seconds.low / HOUR, expected=steps * seconds.expected / HOUR, high=steps * seconds.high / HOUR
    )
    written = steps * speed.nvme_bytes_per_step
    return RunCost(
        steps=steps,
        hours=hours,
        watts=watts,
        kwh=Band(
            low=hours.low * watts * (1 - WATTS_BAND) / 1000,
            expected=hours.expected * watts / 1000,
            high=hours.high * watts * (1 + WATTS_BAND) / 1000,
        ),
        nvme_bytes=written,
        nvme_life=_life(written, hardware),
    )


def _life(written: int, hardware: Hardware) -> float | None:
    """Share of the endurance of the least durable drive that says one: which drive is swapped to is the user's."""
    rated = [disk.endurance_bytes for disk in hardware.disks if disk.endurance_bytes]
    return written / min(rated) if written and rated else None
