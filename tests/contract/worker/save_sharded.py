"""Run as two processes: save a model that ZeRO-3 has cut up, file by file; compare with what DeepSpeed gathers.

Arguments: folder of a model, folder to write to, bytes per file. Rank 0 prints what it found as RESULTS and JSON.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from types import SimpleNamespace

import deepspeed
import torch
import torch.distributed as dist
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM, AutoTokenizer
from transformers.integrations import HfDeepSpeedConfig

from tunekit.worker.saving import save_model_files
from tunekit.worker.world import World

CONFIG = {
    "train_micro_batch_size_per_gpu": 1,
    "train_batch_size": 2,
    "bf16": {"enabled": True},
    "zero_allow_untested_optimizer": True,
    "zero_optimization": {
        "stage": 3,
        "overlap_comm": False,
        "reduce_bucket_size": 10_000,
        "stage3_prefetch_bucket_size": 10_000,
        # Some tensors are kept whole, the norms.
        "stage3_param_persistence_threshold": 500,
    },
}


def loss_of(engine: deepspeed.DeepSpeedEngine) -> torch.Tensor:
    """The loss of one fixed row."""
    row = torch.arange(16)[None]
    return engine(input_ids=row, labels=row, use_cache=False).loss


def compared(folder: Path, gathered: dict[str, torch.Tensor]) -> dict[str, list[str]]:
    """Names that are in one of the two only, and names whose values differ."""
    saved = {name: tensor for path in folder.glob("*.safetensors") for name, tensor in load_file(path).items()}
    different = [name for name in saved if name in gathered and not torch.equal(saved[name], gathered[name])]
    return {"different": different, "alone": sorted(set(saved) ^ set(gathered))}


def main(source: str, target: str, file_bytes: int) -> None:
    deepspeed.init_distributed("gloo")
    alive = HfDeepSpeedConfig(CONFIG)
    model = AutoModelForCausalLM.from_pretrained(source, dtype=torch.bfloat16)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
    engine, *_ = deepspeed.initialize(model=model, optimizer=optimizer, config=CONFIG)
    engine.backward(loss_of(engine))
    engine.step()
    world = World(rank=dist.get_rank(), local_rank=dist.get_rank(), size=2, device=torch.device("cpu"))
    job = SimpleNamespace(adapter=None, zero=SimpleNamespace(stage=3))
    trainer = SimpleNamespace(
        plan=SimpleNamespace(job=job),
        model=model,
        deepspeed=engine,
        processing_class=AutoTokenizer.from_pretrained(source),
    )
    before = loss_of(engine).item()
    save_model_files(trainer, target, world, file_bytes=file_bytes)  # type: ignore[arg-type]
    gathered = engine._zero3_consolidated_16bit_state_dict()
    after = loss_of(engine)
    engine.backward(after)
    engine.step()
    losses = [before, after.item(), loss_of(engine).item()]
    if world.is_first:
        print("RESULTS " + json.dumps({**compared(Path(target), gathered), "losses": losses}))
    dist.barrier()
    del alive


main(sys.argv[1], sys.argv[2], int(sys.argv[3]))
