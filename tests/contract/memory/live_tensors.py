"""Run as a process: train linear layers with DeepSpeed and print the bytes of all live tensors per parameter.

Arguments: a JSON list of cases, each with stage, precision, bf16_states, offload and accumulate. One process, one rank.
"""

from __future__ import annotations

import gc
import json
import sys
from typing import Any

import deepspeed
import torch

HIDDEN, LAYERS = 1024, 8
SMALLEST = 2**18


class Stack(torch.nn.Module):
    """Linear layers without bias."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = torch.nn.ModuleList(torch.nn.Linear(HIDDEN, HIDDEN, bias=False) for _ in range(LAYERS))

    def forward(self, rows: torch.Tensor) -> torch.Tensor:
        for layer in self.layers:
            rows = layer(rows).relu()
        return rows.float().sum()


def live_bytes() -> int:
    """Bytes of every distinct storage of at least 256 KiB."""
    gc.collect()
    found = [each for each in gc.get_objects() if torch.is_tensor(each) and not each.is_meta]
    found += [each.grad for each in found if each.is_leaf and each.grad is not None]
    storages = {each.untyped_storage().data_ptr(): each.untyped_storage().nbytes() for each in found}
    return sum(size for size in storages.values() if size >= SMALLEST)


def config_of(case: dict[str, Any]) -> dict[str, Any]:
    """DeepSpeed's JSON with buckets too small to be counted."""
    zero: dict[str, Any] = {"stage": case["stage"], "reduce_bucket_size": 1000, "allgather_bucket_size": 1000}
    zero["overlap_comm"] = False
    if case["stage"] == 3:
        zero |= {"stage3_prefetch_bucket_size": 1000, "stage3_max_reuse_distance": 0}
        zero |= {"stage3_param_persistence_threshold": 0}
    bf16: dict[str, Any] = {"enabled": case["precision"] == "bf16"}
    if case["bf16_states"]:
        bf16 |= {"bf16_master_weights_and_grads": True, "bf16_optimizer_states": True}
    config = {
        "train_micro_batch_size_per_gpu": 1,
        "gradient_accumulation_steps": case["accumulate"],
        "zero_allow_untested_optimizer": True,
        "bf16": bf16,
        "zero_optimization": zero,
    }
    if case["fp32_gradients"]:
        config["data_types"] = {"grad_accum_dtype": "fp32"}
    if case["offload"]:
        zero["offload_optimizer"] = {"device": "cpu", "pin_memory": False}
        config["optimizer"] = {"type": "AdamW", "params": {"lr": 1e-4}}
    return config


def measure(case: dict[str, Any]) -> dict[str, float]:
    """Bytes per parameter when the first layer's gradient is there, and after the second step."""
    dtype = {"bf16": torch.bfloat16, "fp32": torch.float32}[case["precision"]]
    model = Stack().to(dtype)
    count = HIDDEN * HIDDEN * LAYERS
    optimizer = None if case["offload"] else torch.optim.AdamW(model.parameters(), lr=1e-4, fused=True)
    engine, *_ = deepspeed.initialize(model=model, optimizer=optimizer, config=config_of(case))
    passes: list[float] = []
    for _ in range(2 * case["accumulate"]):
        # A copy, not a leaf: autograd reaches it after the gradients of the first layer.
        rows = torch.randn(2, HIDDEN, dtype=dtype, requires_grad=True).clone()
        rows.register_hook(lambda _: passes.append(live_bytes() / count))
        engine.backward(engine(rows))
        engine.step()
    steady = live_bytes() / count
    engine.destroy()
    return {"backward": passes[-1], "steady": steady}


def main() -> None:
    deepspeed.init_distributed("gloo")
    before = 0
    results = []
    for case in json.loads(sys.argv[1]):
        found = measure(case)
        leaked = before / (HIDDEN * HIDDEN * LAYERS)
        results.append({name: value - leaked for name, value in found.items()})
        before = live_bytes()
    print("RESULTS " + json.dumps(results))


main()
