"""A row of the table of speeds becomes a `Setting`, or `Unmapped` with the reason. Never raises for a cell."""

from __future__ import annotations

import re
from dataclasses import replace

from accuracy.jobs import CannotMapError
from accuracy.jobs import targets_of as resolve_targets
from accuracy.models import find_shape
from accuracy.setting import Unmapped

from throughput.machines import machine
from throughput.programs import Program, program_of
from throughput.rows import SpeedRow
from throughput.setting import Setting
from tunekit.errors import TunekitError
from tunekit.model_shape.shape import ModelShape
from tunekit.recipe.job import Adapter, Batch, Job, Quantization, Zero
from tunekit.recipe.schema import MethodKind
from tunekit.speed.rates import rates_of

_TRAINING = ("finetune", "pretrain", "ablation", "offload")
_OTHERS = {
    "lohan": "a system of its own that overlaps drives, CPU and cards",
    "roundpipe": "a system of its own that streams layers around the cards",
    "ktransformers": "experts on the CPU are not modelled",
    "colossalai": "tensor parallelism is not modelled",
    "zero-infinity": "the number of cards is not given",
}
_MPT = {
    "mpt-125m": "(h768,L12,a12,V50368)",
    "mpt-350m": "(h1024,L24,a16,V50368)",
    "mpt-760m": "(h1536,L24,a12,V50368)",
    "mpt-1b": "(h2048,L24,a16,V50368)",
    "mpt-3b": "(h2560,L32,a20,V50368)",
    "mpt-7b": "(h4096,L32,a32,V50368)",
    "mpt-13b": "(h5120,L40,a40,V50368)",
    "mpt-30b": "(h7168,L48,a56,V50368)",
    "mpt-70b": "(h8192,L80,a64,V50368)",
}
"""llm-foundry scripts/train/yamls/pretrain: every matrix four times as wide as the model, no gate."""


def map_row(row: SpeedRow) -> Setting | Unmapped:
    """The setting of a row, or why there is none."""
    try:
        return _map(row)
    except CannotMapError as problem:
        return Unmapped(name=row.name, group=row.group, reason=str(problem))
    except (TunekitError, ValueError, KeyError, ArithmeticError, TypeError) as problem:
        return Unmapped(name=row.name, group=row.group, reason=f"cannot be read: {str(problem).splitlines()[0][:90]}")


def _map(row: SpeedRow) -> Setting:
    if row.text("category") not in _TRAINING:
        raise CannotMapError(f"{row.text('category') or 'nothing'}: no training run")
    for name, reason in _OTHERS.items():
        if name in row.text("framework"):
            raise CannotMapError(reason)
    shape, method, program = _shape(row), _method(row), program_of(row)
    cards = row.whole("n_gpus")
    if cards is None:
        raise CannotMapError("the number of cards is not given")
    job = _job(row, shape, method, program, cards)
    hardware = machine(row, job.batch.world_size)
    if hardware is None:
        raise CannotMapError(f"the card {row.cells.get('gpu') or '(none)'} is not known")
    tokens = float(job.batch.global_batch_size * job.max_seq_length)
    return Setting(
        name=row.name,
        group=row.group,
        evidence=row.evidence,
        job=job,
        shape=shape,
        rates=rates_of(hardware),
        habits=replace(program.habits, full_rows=True),
        cards=cards,
        tokens=tokens,
        outside=program.outside,
        measured=_tokens_per_second(row, job, tokens, cards),
    )


def _shape(row: SpeedRow) -> ModelShape:
    name = row.cells.get("model") or ""
    shape = find_shape(_MPT.get(name.lower(), name), row.number("params_b"))
    if shape is None:
        raise CannotMapError(f"the model {name or '(none)'} is not known")
    return shape


def _method(row: SpeedRow) -> MethodKind:
    text = row.text("method")
    if text == "full":
        return "full"
    plain = re.fullmatch(r"q?lora|lora-rank\d+(-rslora|-target-mlp|-all-linear\S*)?", text)
    if not plain:
        raise CannotMapError(f"method {text or '(none)'} is not modelled")
    return "qlora" if text.startswith("q") or row.text("quant") else "lora"


def _job(row: SpeedRow, shape: ModelShape, method: MethodKind, program: Program, cards: int) -> Job:
    if "fp8" in row.text("precision"):
        raise CannotMapError("8-bit products are not modelled")
    length, micro = _length(row), row.whole("micro_batch")
    if length is None or micro is None:
        raise CannotMapError("the length of rows is not given" if length is None else "the micro-batch is not given")
    turns = "layers split over" in row.text("notes")
    return Job(
        accelerator="cuda",
        method=method,
        adapter=None if method == "full" else _adapter(row, shape, program),
        quantization=Quantization(kind="nf4", double_quant="dq" in row.text("quant")) if method == "qlora" else None,
        zero=_zero(row, program, cards),
        batch=Batch(
            micro_batch_size=micro,
            gradient_accumulation_steps=row.whole("grad_accum") or 1,
            world_size=1 if turns else cards,
        ),
        max_seq_length=length,
        packing=False,
        completion_only_loss=False,
        precision="bf16",
        attention="flash_attention_2",
        optimizer="adamw",
        learning_rate=1e-4,
        activation_checkpointing=_recomputes(row, program),
        loss="chunked" if program.chunked_loss else "full",
        evaluates=False,
        save_checkpoints=False,
        keep_checkpoints=1,
        num_workers=1,
    )


def _length(row: SpeedRow) -> int | None:
    """Tokens of a row: as they were on average where the source counted them, else their length."""
    counted = re.search(r"train tokens (\d+)", row.text("notes"))
    micro = row.whole("micro_batch")
    steps = re.search(r"(\d+) steps", row.text("metric"))
    if counted and micro and steps:
        return int(counted.group(1)) // (micro * int(steps.group(1)))
    return row.whole("seq_len")


def _recomputes(row: SpeedRow, program: Program) -> bool:
    text = row.text("grad_ckpt")
    return text.startswith("yes") if text else program.checkpointing


def _adapter(row: SpeedRow, shape: ModelShape, program: Program) -> Adapter:
    mlp = "target-mlp" in row.text("method")
    rank = re.search(r"rank(\d+)", row.text("method"))
    return Adapter(
        rank=row.whole("lora_rank") or (int(rank.group(1)) if rank else program.rank),
        alpha=16,
        dropout=program.dropout,
        target_modules=resolve_targets("mlp" if mlp else program.targets, shape),
    )


def _zero(row: SpeedRow, program: Program, cards: int) -> Zero:
    text = row.text("sharding")
    if "tp2" in text or "tp4" in text:
        raise CannotMapError("tensor parallelism is not modelled")
    stage = re.search(r"zero-?(\d)", f"{text} {row.text('framework')}")
    sharded = ("fsdp" in text and "no-shard" not in text) or "full_shard" in text
    if stage is None and cards > 1 and not text and "layers split" not in row.text("notes") and not program.stage:
        raise CannotMapError("how several cards share the work is not given")
    offload = "cpu" if row.text("offload_param") == "cpu" else "none"
    return Zero(
        preset="row",
        stage=int(stage.group(1)) if stage else 3 if sharded or offload == "cpu" else 0,
        offload_optimizer="cpu" if row.text("offload_opt") == "cpu" or offload == "cpu" else "none",
        offload_param=offload,
        offload_ratio=1.0,
        bf16_states="bf16 states" in row.text("precision"),
        nvme_path=None,
        pin_memory=True,
        overlap_comm=True,
        reduce_bucket_size=500_000_000,
        allgather_bucket_size=500_000_000,
        prefetch_bucket_size=0,
        param_persistence_threshold=0,
        sub_group_size=1_000_000_000,
        max_live_parameters=1_000_000_000,
        max_reuse_distance=1_000_000_000,
    )


def _tokens_per_second(row: SpeedRow, job: Job, tokens: float, cards: int) -> float:
    if row.text("value") in ("oom", ""):
        raise CannotMapError("it ran out of memory" if row.text("value") == "oom" else "no figure")
    total = row.number("tokens_per_s_total")
    if total:
        return total
    value, unit = row.number("value") or 0.0, row.text("unit")
    if value <= 0:
        raise CannotMapError("no figure")
    if unit.startswith("tok/s"):
        if "do not say" in unit and cards > 1:
            raise CannotMapError("whether the figure is for one card or for all is not given")
        return value * (cards if unit == "tok/s/gpu" else 1)
    if unit == "s" and row.text("metric") == "step time":
        return tokens / value
    if "min" in unit and "1000 iterations" in row.text("metric"):
        return 1000 * job.batch.micro_batch_size * job.batch.world_size * job.max_seq_length / (60 * value)
    if "sample" in unit:
        raise CannotMapError("samples were cut at the length, and how long they are is not given")
    raise CannotMapError(f"the tokens behind '{row.cells.get('metric')}' in {row.cells.get('unit')} are not given")
