"""A row of the table becomes a `Setting`, or `Unmapped` with the reason. Never raises for what stands in a cell."""

from __future__ import annotations

import re
from dataclasses import replace

from accuracy.habits import Habits, habits_of
from accuracy.lengths import longest, mean_length, packs, splits_rows
from accuracy.litgpt_layer import saved_by_litgpt
from accuracy.machines import machine
from accuracy.models import as_litgpt_builds, find_shape, with_linear_experts
from accuracy.peft_methods import method_of
from accuracy.rows import UNITS, Row
from accuracy.setting import Base, Engine, Reading, Setting, Unmapped
from tunekit.errors import TunekitError
from tunekit.memory.layer_code import RMS_NORM, widths
from tunekit.memory.practice import Practice
from tunekit.model_shape.adapters import resolve_target_modules
from tunekit.model_shape.shape import ModelShape, ParameterTensor
from tunekit.recipe.job import Adapter, Batch, Job, Quantization, Zero
from tunekit.units import MIB

_NO_JOB = {
    "component": "a single operator, no training job",
    "host_ram_log": "host RAM, not the device",
    "pinned_alloc": "host RAM, not the device",
    "model_loading": "loading, not training",
    "cuda_context": "the context alone",
    "idle": "nothing runs",
    "after_init": "memory right after an engine was built",
}
_PHASES: dict[str, Reading] = {
    "steady_allocated": "steady",
    "after_model_on_gpu": "weights",
    "after_model_init": "weights",
    "after_forward": "forward",
    "after_backward": "backward",
}
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
_GPTQ_WITHOUT_GROUPS = ("llama-2-70b-gptq", "mixtral-8x7b-instruct-v0.1-gptq")
"""Published checkpoints whose main branch has one scale per row."""


TRANSFORMERS_5 = "2025-12"
"""Since then a mixture's experts are one fused parameter, which is not quantised; before, linear layers."""


class CannotMapError(Exception):
    """Why a row is not estimated."""


def map_row(row: Row) -> Setting | Unmapped:
    """The setting of a row, or why there is none."""
    try:
        return _map(row)
    except CannotMapError as problem:
        return Unmapped(name=row.name, group=row.group, reason=str(problem))
    except (TunekitError, ValueError, KeyError, ArithmeticError, TypeError) as problem:
        return Unmapped(name=row.name, group=row.group, reason=f"cannot be read: {str(problem).splitlines()[0][:90]}")


def _map(row: Row) -> Setting:
    phase = row.text("phase") or "train_peak"
    if phase == "after_model_init" and row.text("mem_metric").startswith("peak memory reserved"):
        raise CannotMapError("what loading reserved, not the weights")
    if phase in _NO_JOB:
        raise CannotMapError(_NO_JOB[phase])
    if "may include accumulation" in row.text("note"):
        raise CannotMapError("whether the batch is of one step is not given")
    if "seq_cls" in row.text("source_path"):
        raise CannotMapError("sequence classification, without a language-model head")
    shape = _shape(row)
    habits = habits_of(row)
    engine, stage = _engine(row, habits)
    method, base = _method(row)
    reading = _reading(row, habits)
    groups = not any(name in row.text("model") for name in _GPTQ_WITHOUT_GROUPS)
    states = habits.states if method == "full" else replace(habits.adapter_states, base=base, groups=groups)
    offload = row.text("offload")
    if "cpu" in offload and "activation" not in offload and engine in ("fsdp", "fsdp2"):
        states = replace(states, weights_in_ram=True, optimizer_in_ram=True)
    shape = _divided(row, shape)
    if habits.own_layers == "litgpt":
        shape = as_litgpt_builds(shape)
    if row.text("published") < TRANSFORMERS_5:
        shape = with_linear_experts(shape)
    job = _job(row, shape, habits, method, stage, reading)
    return Setting(
        name=row.name,
        group=row.group,
        confidence=row.text("confidence"),
        engine=engine,
        job=job,
        shape=shape,
        hardware=machine(row, job.batch.world_size),
        practice=_practice_of(row, habits, engine, job, shape),
        states=states,
        reading=reading,
        measured_bytes=_measured(row, habits, reading, job.batch.world_size),
        ran=_ran(row),
        is_peak=phase == "train_peak",
        open_reading="not stated" in row.text("mem_metric") or row.text("unit_base") == "unknown",
        outside_bytes=_context(row),
        method=None if method == "full" else method_of(row.text("method")),
        published=habits.as_of or row.text("published"),
        mean_length=mean_length(row, habits),
        expandable=habits.expandable,
        output_bytes=_output_bytes(row, habits),
        gradients="no grad" not in row.text("method"),
    )


def _context(row: Row) -> int | None:
    found = re.search(r"(\d+) mib cuda context", row.text("mem_metric"))
    return int(found.group(1)) * MIB if found else None


def _output_bytes(row: Row, habits: Habits) -> float:
    """Logits that a script holds while it reads: float32 before transformers 4.46, the weights' type since."""
    if row.text("phase") in ("after_forward", "after_backward"):
        return 4.0 if row.text("published") < "2024-10-24" else 2.0
    return habits.output_bytes


def _practice_of(row: Row, habits: Habits, engine: Engine, job: Job, shape: ModelShape) -> Practice:
    practice = _practice(row, habits, engine, job.method)
    if habits.own_layers != "litgpt":
        return practice
    size = widths(shape)
    rms = size.code.norm_frozen == RMS_NORM.norm_frozen
    each = saved_by_litgpt(job, size, rms=rms, keeps_inputs=job.method == "qlora")
    return replace(practice, layer_bytes=each)


def _practice(row: Row, habits: Habits, engine: Engine, method: str) -> Practice:
    practice = habits.practice
    if engine == "fsdp" and method != "full":
        practice = replace(practice, layer_input_gradients=True)
    if row.text("published") < TRANSFORMERS_5:
        practice = replace(practice, experts_in_turn=True)
    other = method_of(row.text("method"))
    if other is not None and method != "full" and practice.adapter_input_bytes is not None:
        practice = replace(practice, adapter_input_bytes=other.inputs)
    if "activation" in row.text("offload"):
        practice = replace(practice, checkpoints_in_ram=True)
    return practice


def _shape(row: Row) -> ModelShape:
    folder = re.search(r"config file ([\w.-]+)/", row.text("note"))
    names = [folder.group(1)] if folder else []
    for name in (*names, row.cells.get("model") or ""):
        shape = find_shape(name, row.number("params_b"))
        if shape:
            return shape
    raise CannotMapError(f"the model {row.cells.get('model') or '(none)'} is not known")


def _engine(row: Row, habits: Habits) -> tuple[Engine, int]:
    if habits.stage:
        return "deepspeed", habits.stage
    text = row.text("parallelism")
    devices = row.whole("n_gpus") or 1
    if "ddp" in text and "fsdp" in text:
        return ("ddp" if devices > 1 else "plain"), 0
    if "fsdp" in text:
        return ("fsdp2" if "fsdp2" in text else "fsdp"), 0
    stage = row.whole("zero_stage")
    if "deepspeed" in text or stage:
        if not stage and row.text("zero_stage") != "0":
            raise CannotMapError("the ZeRO stage is not given")
        return "deepspeed", stage or 0
    if "ddp" in text:
        return "ddp", 0
    if text in ("none", "") or "naive" in text or "sequence parallel" in text:
        if devices > 1 and not ("naive" in text or "sequence" in text):
            raise CannotMapError("how several GPUs share the work is not given")
        return "plain", 0
    raise CannotMapError(f"parallelism {text} is not modelled")


_LIKE_LORA = (
    "lora+",
    "rslora",
    "neftune",
    "olora",
    "pissa",
    "no_mix",
    "packing",
    "no grad",
    "rl trainer",
    "long",
    "reentrant",
)


def _method(row: Row) -> tuple[str, Base]:
    text, quant = row.text("method"), f"{row.text('quant')} {row.text('base_weight_dtype')}"
    if any(word in text for word in ("dpo", "simpo", "kto", "ppo", "reward", " rm", "orpo", "grpo")):
        raise CannotMapError(f"method {text}: not supervised fine-tuning")
    if text.startswith("full"):
        if "+" in text and "no_mix" not in text:
            raise CannotMapError(f"method {text} is not modelled")
        return "full", "plain"
    plain = text in ("lora", "qlora") or any(word in text for word in _LIKE_LORA) or text.startswith(("lora", "qlora"))
    if not plain and method_of(text) is None:
        raise CannotMapError(f"method {text or '(none)'} is not modelled")
    if any(word in quant for word in ("awq", "aqlm", "hqq")):
        raise CannotMapError(f"a base in {quant.strip()} is not modelled")
    if "gptq" in quant:
        return "qlora", "gptq" if "8" not in quant else "int8"
    if "8-bit" in quant or "int8" in quant:
        return "qlora", "int8"
    if text.startswith("qlora") or any(word in quant for word in ("nf4", "4-bit", "4bit", "int4", "bnb")):
        return "qlora", "nf4"
    return "lora", "plain"


def _reading(row: Row, habits: Habits) -> Reading:
    phase, metric = row.text("phase") or "train_peak", row.text("mem_metric")
    if phase in _PHASES:
        return _PHASES[phase]
    if row.measured_bytes is None or row.outcome == "oom":
        return "none"
    if "nvidia-smi" in metric or "nvml" in metric:
        return "device"
    if "reserved" in metric:
        return "reserved"
    if "allocated" in metric or "active" in metric:
        return "allocated"
    return habits.reading


def _measured(row: Row, habits: Habits, reading: Reading, devices: int) -> int | None:
    if reading == "none":
        return None
    value, printed = row.measured_bytes, row.number("gpu_mem_value")
    if habits.unit and printed and row.text("unit_base") not in UNITS:
        value = round(printed * habits.unit)
    if value and "sum" in row.text("gpu_mem_scope"):
        return value // max(1, devices)
    return value


def _ran(row: Row) -> bool | None:
    if not row.number("gpu_mem_gb"):
        return None
    if row.outcome == "oom":
        return False
    return True if row.outcome == "ok" and row.text("phase") in ("train_peak", "fits_or_not", "") else None


def _divided(row: Row, shape: ModelShape) -> ModelShape:
    """What the last card holds where a model is cut by layers: its layers and the head, not the embedding."""
    devices = row.whole("n_gpus") or 1
    if "naive" not in row.text("parallelism") or devices == 1:
        return shape
    keep = -(-shape.num_layers // devices)
    return replace(shape, num_layers=keep, tensors=tuple(_on_last_card(each, keep) for each in shape.tensors))


def _on_last_card(tensor: ParameterTensor, layers: int) -> ParameterTensor:
    if tensor.role == "embedding":
        return replace(tensor, shape=(1, *tensor.shape[1:]))
    return replace(tensor, count=min(tensor.count, layers)) if tensor.in_layers else tensor


def _job(row: Row, shape: ModelShape, habits: Habits, method: str, stage: int, reading: Reading) -> Job:
    tokens_matter = reading not in ("steady", "weights")
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
        target_modules=_targets(row.text("lora_targets") or habits.targets, shape, linked=_has_ranks(row)),
        modules_to_save=saved,
    )


def _has_ranks(row: Row) -> bool:
    """Whether the method's parameters are pairs of matrices; others have far fewer, or none in the projections."""
    method = method_of(row.text("method"))
    return method is None or method.inputs > 0


_END_NAMES = {"wte": "embed_tokens", "head": "lm_head"}


def _words(text: str) -> list[str]:
    return [word for word in re.split(r"[\s,;]+", re.sub(r"\(.*?\)", " ", text)) if word]


def _targets(text: str, shape: ModelShape, *, linked: bool = True) -> tuple[str, ...]:
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
