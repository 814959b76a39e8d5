"""Jobs, machines and model shapes for the tests of memory, each a small change of a plain one."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from tunekit.hardware.spec import Disk, Gpu, Hardware, Host
from tunekit.model_shape.config_json import shape_from_config
from tunekit.model_shape.shape import ModelShape
from tunekit.recipe.job import Adapter, Batch, Job, Quantization, Zero
from tunekit.units import GIB

SEVEN = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")
ATTENTION = ("q_proj", "k_proj", "v_proj", "o_proj")

ZERO = Zero(
    preset="z2",
    stage=2,
    offload_optimizer="none",
    offload_param="none",
    offload_ratio=1.0,
    bf16_states=False,
    nvme_path=None,
    pin_memory=True,
    overlap_comm=False,
    reduce_bucket_size=16_777_216,
    allgather_bucket_size=16_777_216,
    prefetch_bucket_size=15_099_494,
    param_persistence_threshold=40_960,
    sub_group_size=1_000_000_000,
    max_live_parameters=1_000_000_000,
    max_reuse_distance=0,
)

JOB = Job(
    accelerator="cuda",
    method="full",
    adapter=None,
    quantization=None,
    zero=ZERO,
    batch=Batch(micro_batch_size=1, gradient_accumulation_steps=1, world_size=2),
    max_seq_length=2048,
    packing=True,
    completion_only_loss=True,
    precision="bf16",
    attention="flash_attention_2",
    optimizer="adamw",
    learning_rate=1e-4,
    activation_checkpointing=True,
    loss="chunked",
    evaluates=False,
    save_checkpoints=True,
    keep_checkpoints=2,
)


def llama(
    *,
    layers: int = 2,
    hidden: int = 64,
    heads: int = 4,
    kv_heads: int = 2,
    ffn: int = 176,
    vocab: int = 320,
    tied: bool = False,
) -> ModelShape:
    """A small llama."""
    config = {
        "model_type": "llama",
        "num_hidden_layers": layers,
        "hidden_size": hidden,
        "num_attention_heads": heads,
        "num_key_value_heads": kv_heads,
        "intermediate_size": ffn,
        "vocab_size": vocab,
        "tie_word_embeddings": tied,
        "max_position_embeddings": 4096,
    }
    return shape_from_config(config, name="test/llama", source="test")


def adapter(rank: int = 16, targets: tuple[str, ...] = SEVEN, *, dropout: float = 0.0) -> Adapter:
    """LoRA on these modules."""
    return Adapter(rank=rank, alpha=2 * rank, dropout=dropout, target_modules=targets)


def job(
    method: str = "full",
    *,
    zero: dict[str, Any] | None = None,
    ranks: int = 2,
    micro: int = 1,
    accumulate: int = 1,
    rank: int = 16,
    targets: tuple[str, ...] = SEVEN,
    **changes: Any,
) -> Job:
    """`JOB` with another method, ZeRO settings, batch and whatever else is named."""
    lora = None if method == "full" else adapter(rank, targets)
    quantization = Quantization(kind="nf4", double_quant=True) if method == "qlora" else None
    batch = Batch(micro_batch_size=micro, gradient_accumulation_steps=accumulate, world_size=ranks)
    base = replace(JOB, method=method, adapter=lora, quantization=quantization, batch=batch)  # type: ignore[arg-type]
    return replace(base, zero=replace(ZERO, **(zero or {})), **changes)


def machine(gpus: int = 2, *, usable: float = 23.5, ram: float = 88.0, disk: float = 1700.0) -> Hardware:
    """A box with cards of so many GiB usable, RAM and one drive in GiB; without cards two CPU processes."""
    card = Gpu(
        name="RTX 4090",
        memory_bytes=25_757_220_864,
        usable_bytes=int(usable * GIB),
        bf16_tflops=165.2,
        memory_bandwidth=1_008_000_000_000,
        compute_capability=8.9,
        power_watts=450,
    )
    drive = Disk(
        name="nvme0",
        total_bytes=int(1.1 * disk * GIB),
        usable_bytes=int(disk * GIB),
        read_rate=7_000_000_000,
        write_rate=6_000_000_000,
    )
    host = Host(
        cpu="test",
        cores=12,
        ram_bytes=int(1.1 * ram * GIB),
        usable_ram_bytes=int(ram * GIB),
        ram_bandwidth=80_000_000_000,
    )
    return Hardware(name="test", description="", gpus=(card,) * gpus, link=None, host=host, disks=(drive,))
