"""One measurement without torch, in a process of its own: `python -m tunekit.probes.speeds NAME --result FILE`."""

from __future__ import annotations

import sys

from tunekit.probes.speeds.drive import measure_drive
from tunekit.probes.speeds.process import run_measurement
from tunekit.probes.speeds.ram import measure_ram

if __name__ == "__main__":
    sys.exit(
        run_measurement(sys.argv[1:], {"drive": measure_drive, "ram": measure_ram}, module="tunekit.probes.speeds")
    )
