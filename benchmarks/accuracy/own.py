"""Rows of benchmarks/gpu_memory.py and cpu_memory.py: tunekit's own worker, whose jobs the planner itself makes."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

from accuracy.jobs import CannotMapError
from accuracy.machines import machine
from accuracy.rows import Row
from accuracy.setting import Reading, Setting, States
from tunekit.hardware.spec import Hardware
from tunekit.memory.practice import WORKER
from tunekit.memory.terms import Phase
from tunekit.model_shape import catalogue
from tunekit.model_shape.config_json import shape_from_config
from tunekit.model_shape.shape import ModelShape
from tunekit.planner.resolve import resolve
from tunekit.recipe.loading import load_recipe

FRAMEWORK = "tunekit worker"
_PHASES: dict[str, Phase] = {
    "idle": "load",
    "model_loading": "load",
    "first_forward": "first forward",
    "train_peak": "step",
    "optimizer_step": "optimizer",
    "evaluation": "eval",
    "saving": "save",
}
"""The words of the table for the phases of an estimate; at rest a process has only what `processes` counts."""
_READINGS: dict[str, Reading] = {
    "max_memory_allocated": "allocated",
    "max_memory_reserved": "reserved",
    "nvml": "device",
}


def is_own(row: Row) -> bool:
    """Whether the row was measured by tunekit's own benchmarks."""
    return row.text("framework") == FRAMEWORK


def map_own(row: Row) -> Setting:
    """The setting of such a row. Raises CannotMapError, or TunekitError for a job that the planner refuses."""
    count = _processes(row)
    here = _machine(row, count)
    phase = _PHASES.get(row.text("phase"))
    if phase is None and row.text("phase") != "fits_or_not":
        raise CannotMapError("the context alone" if row.text("phase") == "cuda_context" else "no phase of a run")
    shape = _shape(row)
    found = resolve(load_recipe(_recipe(row)).recipe, shape, here, "model")
    reading = _reading(row)
    return Setting(
        name=row.name,
        group=row.group,
        confidence=row.text("confidence"),
        engine="deepspeed",
        job=found.trial.job,
        shape=shape,
        hardware=here,
        practice=WORKER,
        states=States(),
        reading=reading,
        measured_bytes=row.whole("host_ram_value") if reading == "host" else row.measured_bytes,
        ran=(row.outcome == "ok" if row.outcome in ("ok", "oom") and here.gpus else None),
        is_peak=phase == "step",
        phase=phase,
        at_rest=row.text("phase") == "idle",
        expandable=True,
    )


def _processes(row: Row) -> int:
    """Cards, or processes where there are none: the name of the case ends with their number."""
    told = re.search(r"-(\d+)p[-;]", row.text("note"))
    return row.whole("n_gpus") or (int(told.group(1)) if told else 1)


def _machine(row: Row, count: int) -> Hardware:
    found = machine(row, count)
    return found if row.whole("n_gpus") else replace(found, gpus=(), cpu_processes=count)


def _shape(row: Row) -> ModelShape:
    """A model of the catalogue, cut to so many layers: `NAME, 4 layers`."""
    name, _, cut = (row.cells.get("model") or "").partition(", ")
    config = catalogue.config_of(name.strip())
    layers = re.match(r"(\d+) layers", cut)
    if config is None or layers is None:
        raise CannotMapError(f"the model {row.cells.get('model') or '(none)'} is not in the catalogue")
    return shape_from_config({**config, "num_hidden_layers": int(layers.group(1))}, name=name, source="benchmarks")


def _reading(row: Row) -> Reading:
    if row.outcome != "ok":
        return "none"
    metric = row.text("mem_metric")
    if "resident set" in metric:
        return "host"
    return next((reading for word, reading in _READINGS.items() if word in metric), "none")


def _recipe(row: Row) -> dict[str, Any]:
    """The recipe as the columns tell it."""
    method = row.text("method")
    adapter = {"rank": row.whole("lora_rank") or 16, "target_modules": row.text("lora_targets").split() or "all-linear"}
    return {
        "model": {"path": "row", "attention": row.text("attention") or "sdpa"},
        "method": {"kind": method, **({} if method == "full" else adapter)},
        "zero": _zero(row),
        "data": {"path": "row.jsonl", "packing": "packed" in row.text("seq_semantics"), "eval_fraction": 0.25},
        "train": {
            "max_seq_length": row.whole("seq_len"),
            "micro_batch_size": row.whole("micro_batch"),
            "gradient_accumulation_steps": row.whole("grad_accum") or 1,
            "max_steps": 3,
            "learning_rate": 1e-5,
            "activation_checkpointing": row.text("grad_ckpt") != "off",
            "loss": "full" if "full" in row.text("kernels") else "chunked",
            "optimizer": row.text("optimizer") or "adamw",
            "precision": row.text("compute_dtype") or "bf16",
        },
        "output": {"dir": "row", "save_steps": 3},
        "tracking": [],
    }


def _zero(row: Row) -> dict[str, Any]:
    offload = row.text("offload")
    places = {
        what: place for place in ("cpu", "nvme") for what in ("optimizer", "params") if f"{place} {what}" in offload
    }
    found = {
        "stage": int(row.number("zero_stage") or 0),
        "offload_optimizer": places.get("optimizer", "none"),
        "offload_param": places.get("params", "none"),
    }
    return found | ({"nvme_path": "nvme"} if "nvme" in offload else {})
