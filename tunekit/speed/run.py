"""What a run of so many optimizer steps takes: hours, kilowatt-hours, and what it writes to the drive."""

from __future__ import annotations

from tunekit.hardware.power import load_watts
from tunekit.hardware.spec import Hardware
from tunekit.prices.costs import energy_kwh
from tunekit.prices.owning import CURRENCIES
from tunekit.speed.terms import Band, RunCost, SpeedEstimate
from tunekit.units import GB, format_bytes

HOUR = 3600.0
DRIVE_KWH = 1000.0
"""A new drive in kWh where its profile has no price, an assumption: 130 USD or 850 CNY of 2 TB are 800 or 1,500."""
TOLD_STEPS = 1000
WATTS_BAND = 0.15
"""Cards draw between 375 and 400 of 450 W in published runs; hosts differ more."""


def run_cost(speed: SpeedEstimate, steps: int, hardware: Hardware) -> RunCost:
    """Seconds of a step x steps; kWh at the machine's watts under load; TBW where states are swapped to NVMe."""
    seconds = speed.step_seconds
    hours = Band(
        low=steps * seconds.low / HOUR, expected=steps * seconds.expected / HOUR, high=steps * seconds.high / HOUR
    )
    written = steps * speed.nvme_bytes_per_step
    return RunCost(
        steps=steps,
        hours=hours,
        watts=load_watts(hardware),
        kwh=energy_of(hours, hardware),
        nvme_bytes=written,
        nvme_life=_life(written, hardware),
        nvme_kwh=(_life(written, hardware) or 0.0) * _drive_kwh(hardware),
    )


def energy_of(hours: Band, hardware: Hardware) -> Band:
    """kWh at the wall of so many hours of training."""
    watts = load_watts(hardware)
    return Band(
        low=energy_kwh(hours.low, watts * (1 - WATTS_BAND)),
        expected=energy_kwh(hours.expected, watts),
        high=energy_kwh(hours.high, watts * (1 + WATTS_BAND)),
    )


def wear_words(speed: SpeedEstimate) -> str:
    """What swapping writes: `every step writes 119.7 GiB to it, 1,000 steps 128.5 TB`. TB: endurance is rated so."""
    each = speed.nvme_bytes_per_step
    return f"every step writes {format_bytes(each)} to it, {steps_write(TOLD_STEPS, TOLD_STEPS * each)}"


def steps_write(steps: int, written: int) -> str:
    """`1,000 steps 128.5 TB`."""
    return f"{steps:,} steps {written / GB / 1000:,.1f} TB"


def _drive_kwh(hardware: Hardware) -> float:
    """What a new drive costs, in kWh of its owner."""
    drive, known = hardware.swap_disk, CURRENCIES.get(hardware.currency)
    return drive.price / known.kwh if drive and drive.price and known else DRIVE_KWH


def life_words(run: RunCost) -> str:
    """`, 19.8% of what the drive is rated for`; empty where nobody said what it is rated for."""
    return "" if not run.nvme_life else f", {run.nvme_life:.1%} of what the drive is rated for"


def _life(written: int, hardware: Hardware) -> float | None:
    """Share of the endurance of the drive that is swapped to; None where nobody said it."""
    drive = hardware.swap_disk
    return written / drive.endurance_bytes if written and drive and drive.endurance_bytes else None
