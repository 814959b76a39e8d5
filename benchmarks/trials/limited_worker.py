"""Run as a process: the worker on a card of which torch's allocator may take only so many bytes.

Arguments: the bytes, or 0 for all of them; then the worker's own. The limit is set when the rank takes its card, so
that what the card held before can still be read.
"""

from __future__ import annotations

import sys
from typing import Any


def limit_allocator(limit: int) -> None:
    """From now on torch's allocator fails beyond `limit` bytes on the card that is taken, as on a smaller card."""
    import torch

    take = torch.cuda.set_device

    def take_and_limit(device: Any) -> None:
        take(device)
        total = torch.cuda.get_device_properties(device).total_memory
        torch.cuda.set_per_process_memory_fraction(min(1.0, limit / total), device)

    torch.cuda.set_device = take_and_limit


def main(arguments: list[str]) -> int:
    """The worker's exit code."""
    limit, *rest = arguments
    if int(limit):
        limit_allocator(int(limit))

    from tunekit.worker.main import main as work

    return work(rest)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
