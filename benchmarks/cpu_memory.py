"""Host memory by phase of real two-process runs on the CPU, beside what tunekit plans.

    python benchmarks/cpu_memory.py [--out FILE] [--report]

Each case (ZeRO stages, offload to RAM and NVMe, LoRA, QLoRA, recomputation, evaluation, saving) runs the real worker
for three steps in processes of its own. Measured is the growth of the ranks' resident sets beyond what they had after
their imports, as peak of each phase. Rows have the columns of the published measurements; cases that are in the file
already are not run again.
"""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
sys.path.insert(0, str(Path(__file__).resolve().parent))

from trials.command import run

if __name__ == "__main__":
    run("cpu_memory.py", about=__doc__, prefix="TKCPU", accelerator="cpu", grids=("cpu",))
