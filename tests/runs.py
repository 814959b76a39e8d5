"""Run directories written by hand, as the worker would leave them."""

from __future__ import annotations

import json
import struct
import zipfile
from collections.abc import Iterable
from math import prod
from pathlib import Path
from typing import Any

from tunekit.launcher.run_dir import RunDir
from tunekit.planner.plan import Plan
from tunekit.planner.plan_json import plan_to_json

TRACEBACK = """Traceback (most recent call last):
  File "train.py", line 3, in <module>
    step()
ValueError: the loss is not a number
"""


def write_json(path: Path, value: Any) -> None:
    """One JSON file, its folder made."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value))


def write_lines(path: Path, records: Iterable[dict[str, Any]]) -> None:
    """One JSON object per line, appended."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a") as file:
        file.writelines(json.dumps(record) + "\n" for record in records)


def steps(*losses: float, first: int = 1, max_steps: int = 10, **more: Any) -> list[dict[str, Any]]:
    """Metrics of consecutive steps, one second apart."""
    same = {"max_steps": max_steps, "tokens_per_second": 100.0, "seconds": 1.0}
    return [
        {**same, "step": step, "loss": loss, "time": 1000.0 + step, **more}
        for step, loss in enumerate(losses, start=first)
    ]


def write_run(path: Path, plan: Plan, *, attempt: int = 1) -> RunDir:
    """A run directory as it is before the ranks start."""
    run_dir = RunDir(path)
    run_dir.logs.mkdir(parents=True)
    run_dir.recipe.write_text("output: {dir: runs/tiny}\n")
    write_json(run_dir.plan, plan_to_json(plan))
    write_json(run_dir.launch, {"attempt": attempt, "cwd": str(path.parent)})
    return run_dir


def write_checkpoint(folder: Path, step: int, *, world_size: int = 2) -> Path:
    """A checkpoint as the worker leaves it, complete."""
    checkpoint = folder / f"checkpoint-{step}"
    states = checkpoint / f"global_step{step}"
    states.mkdir(parents=True)
    (checkpoint / "latest").write_text(states.name)
    write_json(checkpoint / "trainer_state.json", {"global_step": step})
    for rank in range(world_size):
        write_zip(states / f"bf16_zero_pp_rank_{rank}_mp_rank_00_optim_states.pt")
        write_zip(checkpoint / ("rng_state.pth" if world_size == 1 else f"rng_state_{rank}.pth"))
    write_zip(states / "mp_rank_00_model_states.pt")
    write_safetensors(checkpoint / "adapter_model.safetensors")
    write_json(checkpoint / "complete.json", {"step": step, "world_size": world_size})
    return checkpoint


def write_zip(path: Path) -> None:
    """What torch.save writes is a zip file."""
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("data.pkl", b"x" * 100)


def write_safetensors(path: Path, *, shape: tuple[int, ...] = (4,)) -> None:
    """One tensor of float32."""
    size = 4 * prod(shape)
    header = json.dumps({"lora_A": {"dtype": "F32", "shape": shape, "data_offsets": [0, size]}}).encode()
    path.write_bytes(struct.pack("<Q", len(header)) + header + b"\0" * size)
