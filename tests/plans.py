"""Plans built by hand, for tests of what comes after planning."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from tunekit.hardware.spec import Disk, Gpu, Hardware, Host, Link
from tunekit.launcher.caller import Caller
from tunekit.memory.llamafactory_table import TableCheck
from tunekit.memory.terms import MemoryEstimate, PhasePeak, PlaceEstimate
from tunekit.model_shape.shape import ModelShape, ParameterTensor
from tunekit.planner.plan import Plan
from tunekit.recipe.job import Adapter, Batch, Job, Zero
from tunekit.recipe.schema import Recipe
from tunekit.units import GIB

RTX_4090 = Gpu(
    name="NVIDIA GeForce RTX 4090",
    memory_bytes=24 * GIB,
    usable_bytes=23 * GIB,
    bf16_tflops=165.2,
    memory_bandwidth=1008 * 10**9,
    compute_capability=8.9,
    power_watts=450,
)
HOST = Host(cpu="a desktop", cores=12, ram_bytes=96 * GIB, usable_ram_bytes=90 * GIB, ram_bandwidth=64 * 10**9)
DISK = Disk(name="nvme0", total_bytes=2 * 10**12, usable_bytes=10**12, read_rate=7 * 10**9, write_rate=5 * 10**9)
DUAL_4090 = Hardware(
    name="dual_rtx4090",
    description="two cards",
    gpus=(RTX_4090, RTX_4090),
    link=Link(pcie_generation=4, pcie_lanes=8, nvlink=False, p2p=False),
    host=HOST,
    disks=(DISK,),
)
CPU_BOX = Hardware(
    name="local", description="no GPU", gpus=(), link=None, host=replace(HOST, cores=2), disks=(DISK,), cpu_processes=2
)
ZERO = Zero(
    preset="z2",
    stage=2,
    offload_optimizer="none",
    offload_param="none",
    offload_ratio=1.0,
    bf16_states=False,
    nvme_path=None,
    pin_memory=False,
    overlap_comm=False,
    reduce_bucket_size=10**6,
    allgather_bucket_size=10**6,
    prefetch_bucket_size=10**6,
    param_persistence_threshold=10**4,
    sub_group_size=10**8,
    max_live_parameters=10**8,
    max_reuse_distance=10**8,
)
ADAPTER = Adapter(rank=8, alpha=16, dropout=0.0, target_modules=("q_proj", "v_proj"))
SHAPE = ModelShape(
    name="tiny/llama",
    family="llama",
    num_layers=2,
    hidden_size=64,
    num_heads=4,
    num_kv_heads=2,
    head_dim=16,
    ffn_size=128,
    vocab_size=256,
    max_positions=512,
    tied_embeddings=True,
    tensors=(ParameterTensor(name="model.embed_tokens.weight", shape=(256, 64), role="embedding"),),
    source="a test",
)


def make_job(hardware: Hardware = CPU_BOX, *, zero: dict[str, Any] | None = None, **changes: Any) -> Job:
    """A LoRA job under ZeRO-2; `zero` and the keywords change it."""
    job = Job(
        accelerator="cuda" if hardware.gpus else "cpu",
        method="lora",
        adapter=ADAPTER,
        quantization=None,
        zero=replace(ZERO, **(zero or {})),
        batch=Batch(micro_batch_size=1, gradient_accumulation_steps=2, world_size=hardware.world_size),
        max_seq_length=256,
        packing=True,
        completion_only_loss=True,
        precision="bf16",
        attention="sdpa",
        optimizer="adamw",
        learning_rate=1e-4,
        activation_checkpointing=False,
        loss="full",
        evaluates=False,
        save_checkpoints=False,
        keep_checkpoints=2,
    )
    return replace(job, **changes)


def make_recipe(**sections: dict[str, Any]) -> Recipe:
    """A recipe with the least that must be said; keywords are sections."""
    tree: dict[str, Any] = {
        "model": {"path": "tiny/llama"},
        "data": {"path": "examples/data/finetuning_qa.jsonl"},
        "output": {"dir": "runs/tiny"},
    }
    for name, section in sections.items():
        tree[name] = {**tree.get(name, {}), **section} if isinstance(section, dict) else section
    return Recipe.model_validate(tree)


def make_place(expected: int, usable: int) -> PlaceEstimate:
    """A place that is filled to `expected` of `usable` bytes."""
    return PlaceEstimate(
        low_bytes=expected * 9 // 10,
        expected_bytes=expected,
        high_bytes=expected * 11 // 10,
        usable_bytes=usable,
        worst_phase="step",
    )


def make_plan(
    hardware: Hardware = CPU_BOX,
    *,
    zero: dict[str, Any] | None = None,
    recipe: Recipe | None = None,
    device_bytes: int = 0,
    **job: Any,
) -> Plan:
    """A plan that fits."""
    memory = MemoryEstimate(
        terms=(),
        peaks=(PhasePeak(phase="step", device_bytes=device_bytes, host_bytes=4 * GIB, disk_bytes=GIB),),
        device=make_place(device_bytes, 23 * GIB if hardware.gpus else 0),
        host=make_place(4 * GIB, 20 * GIB),
        disk=make_place(GIB, 100 * GIB),
    )
    table = TableCheck(
        edition="2025-03-11",
        row="LoRA 16 bit",
        cell_gb=16.0,
        reading="",
        device_demand_bytes=0,
        host_demand_bytes=0,
        device_usable_bytes=0,
        host_usable_bytes=0,
        passes=True,
    )
    return Plan(
        verdict="fits",
        reason="it fits",
        recipe=recipe or make_recipe(),
        job=make_job(hardware, zero=zero, **job),
        model_shape=SHAPE,
        num_trainable_parameters=1000,
        hardware=hardware,
        memory=memory,
        table=table,
        decisions=(),
    )


def make_caller(**changes: Any) -> Caller:
    """A shell in /home/user with an environment in /venv."""
    caller = Caller(
        executable="/venv/bin/python",
        prefix="/venv",
        python_version="3.11.7",
        environ={"HOME": "/home/user", "PATH": "/usr/bin:/bin"},
        versions={"torch": "2.13.0", "deepspeed": "0.19.8", "tunekit": "0.1.0"},
        cwd="/home/user/work",
        has_deepspeed_script=True,
        has_numactl=False,
        memlock_unlimited=False,
        wandb_logged_in=False,
        cores_restricted=False,
    )
    return replace(caller, **changes)
