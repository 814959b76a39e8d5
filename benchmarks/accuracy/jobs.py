"""The job of a row: batch, adapter, loss, optimizer and ZeRO, with a program's habits where the row says nothing."""

from __future__ import annotations

import re

from accuracy.habits import Habits
from accuracy.lengths import longest, packs, splits_rows
from accuracy.peft_methods import method_of
from accuracy.rows import Row
from tunekit.model_shape.adapters import resolve_target_modules
from tunekit.model_shape.shape import ModelShape
from tunekit.recipe.job import Adapter, Batch, Job, Quantization, Zero

_ALIASES = {
    "query": ("q_proj",),
    "key": ("k_proj",),
    "value": ("v_proj",),
    "projection": ("o_proj", "dense"),
    "mlp": (
        "gate_proj",
        "up_proj",
        "gate_up_proj",
        "fc1",
        "dense_h_to_4h",
        "down_proj",
        "fc2",
        "dense_4h_to_h",
    ),  # fmt: skip
    "head": ("lm_head",),
    "w1": ("gate_proj",),
    "w2": ("up_proj",),
    "c_proj": ("o_proj", "down_proj"),
    "c_attn": ("c_attn",),
    "q": ("q_proj",),
    "k": ("k_proj",),
    "v": ("v_proj",),
    "o": ("o_proj",),
    "gate": ("gate_proj",),
    "up": ("up_proj",),
    "down": ("down_proj",),
}


class CannotMapError(Exception):
    """Why a row is not estimated."""


def job_of(row: Row, shape: ModelShape, habits: Habits, method: str, stage: int, *, tokens_matter: bool) -> Job:
    """The job of a row; `tokens_matter` where its figure was read while tokens are at work. Raises CannotMapError."""
    length = longest(row, habits)
    micro = row.whole("micro_batch") or habits.micro_batch or (1 if length and not tokens_matter else None)
    if tokens_matter and (length is None or micro is None):
        raise CannotMapError("the length of rows is not given" if length is None else "the batch is not given")
    if length and any(each.name == "wpe.weight" for each in shape.tensors):
        length = min(length, shape.max_positions)
    alone = "naive" in row.text("parallelism") or (splits_rows(row) and not row.whole("zero_stage"))
    devices = 1 if alone else row.whole("n_gpus") or 1
    return Job(
        accelerator="cuda",
        method=method,  # type: ignore[arg-type]
        adapter=None if method == "full" else _adapter(row, shape, habits),
        quantization=_quantization(row) if method == "qlora" else None,
        zero=_zero(row, shape, habits, stage),
        batch=Batch(
            micro_batch_size=micro or 1,
            gradient_accumulation_steps=row.whole("grad_accum") or 1,
            world_size=devices,
        ),
        max_seq_length=length or 1,
        packing=packs(row, habits) or micro == 1,
        completion_only_loss=False,
        precision="fp32" if row.text("compute_dtype") == "fp32" else "bf16",
        attention=_attention(row, habits),  # type: ignore[arg-type]
        optimizer=_optimizer(row),  # type: ignore[arg-type]
        learning_rate=1e-4,
        activation_checkpointing=_checkpoints(row, habits),
        loss="chunked" if _fused_loss(row, habits) else "full",
        evaluates=False,
        save_checkpoints=False,
        keep_checkpoints=1,
    )


def _fused_loss(row: Row, habits: Habits) -> bool:
    if habits.loss == "chunks":
        return False
    return habits.loss == "liger" or any(word in row.text("kernels") for word in ("liger", "cutcross", "chunked"))


def _checkpoints(row: Row, habits: Habits) -> bool:
    text = row.text("grad_ckpt")
    if not text:
        return habits.checkpointing
    return text.startswith(("on", "true", "yes", "selective"))


def _attention(row: Row, habits: Habits) -> str:
    text = row.text("attention")
    if "eager" in (text, habits.attention):
        return "eager"
    if "flash" in text:
        return "flash_attention_2"
    return "sdpa" if "sdpa" in text else habits.attention


def _optimizer(row: Row) -> str:
    text = row.text("optimizer")
    if "paged" in text and "8bit" in text:
        return "paged_adamw_8bit"
    if re.search(r"8[-_ ]?bit", text):
        return "adamw_8bit"
    return next((name for name in ("adafactor", "lion", "sgd") if name in text), "adamw")


def _quantization(row: Row) -> Quantization:
    double = "dq" in row.text("quant") or "double quant" in row.text("quant") or "litgpt" not in row.text("framework")
    return Quantization(kind="nf4", double_quant=double and "no double" not in row.text("quant"))


def _adapter(row: Row, shape: ModelShape, habits: Habits) -> Adapter:
    saved = tuple(_END_NAMES.get(name, name) for name in _words(row.text("full_trained_modules")))
    return Adapter(
        rank=habits.slots * (row.whole("lora_rank") or (habits.rank if _has_ranks(row) else 1)),
        alpha=16,
        dropout=habits.dropout,
        target_modules=targets_of(row.text("lora_targets") or habits.targets, shape, linked=_has_ranks(row)),
        modules_to_save=saved,
    )


def _has_ranks(row: Row) -> bool:
    """Whether the method's parameters are pairs of matrices; others have far fewer, or none in the projections."""
    method = method_of(row.text("method"))
    return method is None or method.inputs > 0


_END_NAMES = {"wte": "embed_tokens", "head": "lm_head"}


def _words(text: str) -> list[str]:
    return [word for word in re.split(r"[\s,;]+", re.sub(r"\(.*?\)", " ", text)) if word]


def targets_of(text: str, shape: ModelShape, *, linked: bool = True) -> tuple[str, ...]:
    """The modules of the shape that a list of names means; all linear layers where that is what it says.

    `linked`: whether the method's parameters hang on these modules; if not, any will do.
    """
    leaves = resolve_target_modules(shape, "all-linear")
    linear = tuple(leaf for leaf in leaves if leaf not in ("gate",))
    if text.startswith(("all linear", "all-linear", "all (")) or text.strip() == "all":
        return tuple(leaf for leaf in linear if "expert" not in leaf)
    wanted: list[str] = []
    for word in _words(text):
        wanted += [word] if word in linear else _ALIASES.get(word, (word,))
    found = [name for name in dict.fromkeys(wanted) if name in linear or name == "lm_head"]
    if not found or any(name in ("q_proj", "k_proj", "v_proj") and name not in linear for name in wanted):
        found += [name for name in ("c_attn", "query_key_value", "qkv_proj") if name in linear and name not in found]
    if not found and "default" in text:
        found = [name for name in ("q_proj", "k_proj", "v_proj", "c_attn", "query_key_value") if name in linear]
    if not found and not linked:
        found = [name for name in ("q_proj", "v_proj") if name in linear]
    if not found:
        raise CannotMapError(f"no module of {shape.name} is called {text}")
    return tuple(found)


def _zero(row: Row, shape: ModelShape, habits: Habits, stage: int) -> Zero:
    hidden, offload = shape.hidden_size, row.text("offload")
    return Zero(
        preset="row",
        stage=stage,
        offload_optimizer="cpu" if "cpu" in offload and "activation" not in offload else "none",
        offload_param="cpu" if "param" in offload or offload == "cpu" else "none",
        offload_ratio=1.0,
        bf16_states=row.text("master_weights").startswith("bf16"),
        nvme_path=None,
        pin_memory=True,
        overlap_comm=stage == 3,
        reduce_bucket_size=habits.bucket or (hidden * hidden if stage == 3 else 500_000_000),
        allgather_bucket_size=500_000_000,
        prefetch_bucket_size=int(0.9 * hidden * hidden),
        param_persistence_threshold=10 * hidden,
        sub_group_size=1_000_000_000,
        max_live_parameters=1_000_000_000,
        max_reuse_distance=1_000_000_000,
    )
