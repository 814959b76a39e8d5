"""A row of the table becomes a `Setting`, or `Unmapped` with the reason. Never raises for what stands in a cell."""

from __future__ import annotations

import re
from dataclasses import replace

from accuracy.compiled_layer import saved_compiled
from accuracy.habits import Habits, habits_of
from accuracy.jobs import CannotMapError, job_of
from accuracy.lengths import mean_length
from accuracy.litgpt_layer import left_of_last_step, saved_by_litgpt
from accuracy.machines import machine
from accuracy.models import as_litgpt_builds, find_shape, with_linear_experts
from accuracy.own import is_own, map_own
from accuracy.peft_methods import method_of
from accuracy.rows import UNITS, Row
from accuracy.setting import Base, Engine, Reading, Setting, Unmapped
from tunekit.errors import TunekitError
from tunekit.memory.case import make_case
from tunekit.memory.layer_code import RMS_NORM, Widths, adapter_reach, widths
from tunekit.memory.practice import Practice
from tunekit.model_shape.shape import ModelShape, ParameterTensor
from tunekit.recipe.job import Job
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
_GPTQ_WITHOUT_GROUPS = ("llama-2-70b-gptq", "mixtral-8x7b-instruct-v0.1-gptq")
"""Published checkpoints whose main branch has one scale per row."""


TRANSFORMERS_5 = "2025-12"
"""Since then a mixture's experts are one fused parameter, which is not quantised; before, linear layers."""


def map_row(row: Row) -> Setting | Unmapped:
    """The setting of a row, or why there is none."""
    try:
        found = map_own(row) if is_own(row) else _map(row)
        # Counts every tensor, and so says what the program could not have trained either.
        make_case(found.job, found.shape, found.hardware, found.practice)
        return found
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
    job = job_of(row, shape, habits, method, stage, tokens_matter=reading not in ("steady", "weights"))
    return Setting(
        name=row.name,
        group=row.group,
        confidence=row.text("confidence"),
        engine=engine,
        job=job,
        shape=shape,
        hardware=machine(row, job.batch.world_size),
        practice=_practice_of(row, habits, engine, job, shape),
        states=replace(states, left_over=_left_over(habits, job, shape)),
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
    size = widths(shape)
    if habits.own_layers == "compiled":
        return replace(practice, layer_bytes=saved_compiled(size, adapter_reach(shape, job.adapter).ranks))
    if habits.own_layers != "litgpt":
        return practice
    caps = shape.family == "gemma2"
    logits = practice.logit_bytes + (2.0 if caps else 0.0)
    return replace(practice, layer_bytes=saved_by_litgpt(job, size, rms=_has_rms(size), caps=caps), logit_bytes=logits)


def _has_rms(size: Widths) -> bool:
    return size.code.norm_frozen == RMS_NORM.norm_frozen


def _left_over(habits: Habits, job: Job, shape: ModelShape) -> int:
    if habits.own_layers != "litgpt" or habits.longest_first:
        return 0
    size = widths(shape)
    return left_of_last_step(job, size, layers=shape.num_layers, vocab=shape.vocab_size, rms=_has_rms(size))


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
