"""One measurement that needs torch, in a process of its own: `python -m tunekit.worker.probing NAME --result FILE`."""

from __future__ import annotations

import sys
from collections.abc import Callable
from importlib import import_module

from tunekit.hardware.probing import Options, Result
from tunekit.probes.speeds.process import run_measurement

NAMES = (
    "adam", "collectives", "copies", "cuda", "flash_attention", "four_bit", "matmul", "ops", "pinned", "rank", "rows",
)  # fmt: skip


def main() -> int:
    """Measure what is named; 0, or 1 with one line that says why not."""
    return run_measurement(sys.argv[1:], {name: _measurement(name) for name in NAMES}, module="tunekit.worker.probing")


def _measurement(name: str) -> Callable[[Options], Result]:
    """Imports torch only when it measures, and only what the measurement needs."""

    def measure(options: Options) -> Result:
        found: Result = import_module(f"tunekit.worker.probing.{name}").measure(options)
        return found

    return measure


if __name__ == "__main__":
    sys.exit(main())
