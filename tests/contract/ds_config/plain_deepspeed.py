"""Trains a tiny model with plain DeepSpeed under each preset named on the command line; one line of JSON per preset.

Nothing of tunekit is imported: the files are used as README.md of `ds_configs/` says.
"""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path
from typing import Any

import deepspeed
import torch

STEPS = 2


def own_drive(config: dict[str, Any]) -> dict[str, Any]:
    """The one thing a user has to change: where NVMe offload swaps to. Buffers shrink to the model."""
    for name in ("offload_optimizer", "offload_param"):
        section = config["zero_optimization"].get(name, {})
        if section.get("device") == "nvme":
            section["nvme_path"] = tempfile.mkdtemp()
        if "buffer_size" in section:
            section["buffer_size"] = 65_536
    return config


def train(file: Path) -> dict[str, Any]:
    """Two optimizer steps of a model of two layers."""
    config = own_drive(json.loads(file.read_text()))
    torch.manual_seed(0)
    model = torch.nn.Sequential(torch.nn.Linear(32, 64), torch.nn.Tanh(), torch.nn.Linear(64, 8)).to(torch.bfloat16)
    rows = torch.randn(4, 32).to(torch.bfloat16)
    expected = float(model(rows).float().square().mean())
    own = {} if "optimizer" in config else {"optimizer": torch.optim.AdamW(model.parameters(), lr=1e-5)}
    engine, *_ = deepspeed.initialize(model=model, model_parameters=list(model.parameters()), config=config, **own)
    losses = []
    for _ in range(STEPS * engine.gradient_accumulation_steps()):
        loss = engine(rows).float().square().mean()
        engine.backward(loss)
        engine.step()
        losses.append(float(loss))
    state = next(iter(engine.basic_optimizer.state.values()), {})
    return {
        "optimizer": type(engine.basic_optimizer).__name__,
        "stage": engine.zero_optimization_stage(),
        "steps": engine.global_steps,
        "weights_kept": abs(losses[0] - expected) < 0.01 * expected,
        "moments": str(getattr(state.get("exp_avg"), "dtype", None)),
    }


if __name__ == "__main__":
    deepspeed.init_distributed("gloo")
    results = {file.stem: train(file) for file in map(Path, sys.argv[1:])}
    print("RESULTS " + json.dumps(results))
