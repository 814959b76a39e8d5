"""Measured by ourselves: the real worker on a CUDA GPU, its peaks by phase beside what tunekit plans.

    python benchmarks/gpu_memory.py [--grid gpu edge] [--out FILE] [--report]
    python benchmarks/gpu_memory.py --grid tiny --accelerator cpu --out /tmp/rows.csv    # without a GPU

Models of real widths and few layers are built from their configuration and trained for three steps. The grid `gpu`
varies method, length, micro-batch, recomputation, attention, loss, optimizer and ZeRO; `edge` holds torch's allocator
to what a 24 GB card has and asks whether plans called `fits` run and plans called `rejected` fail. Every case has
processes of its own and a time limit; its rows (torch's peaks of allocated and reserved bytes, NVML, resident set, by
phase, with hardware, versions and day) are written at once, in the columns of the published measurements. Cases that
are in the file already are not run again.
"""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
sys.path.insert(0, str(Path(__file__).resolve().parent))

from trials.command import run

if __name__ == "__main__":
    run("gpu_memory.py", about=__doc__, prefix="TKGPU", accelerator="cuda", grids=("gpu", "edge"))
